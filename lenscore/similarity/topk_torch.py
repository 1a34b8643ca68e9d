"""The k best candidates on a GPU, through torch, which every GPU image has; the same keys and order as `topk`.

faiss-gpu's search knows no windows, no order of ties and no k above 2048; it is used for building indexes only.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from lenscore.similarity.topk import EMPTY, Floats, unpack

TILE = 32768


class TorchTopK:
    """The k best candidates of each query of a block; see `TopK` for the arguments.

    Products are taken in float32 (TF32 stays off). Memory on the device: 32 TILE bytes a query at the most.
    """

    def __init__(
        self,
        queries: Floats,
        k: int,
        low: NDArray[np.int64],
        high: NDArray[np.int64],
        own: NDArray[np.int64] | None = None,
        device: str = "cuda",
    ) -> None:
        self.k, self.device = k, device
        self.queries = torch.from_numpy(queries).to(device)
        self.low, self.high = torch.from_numpy(low).to(device), torch.from_numpy(high).to(device)
        self.own = torch.from_numpy(np.full(len(low), -1) if own is None else own).to(device)
        self._best = torch.full((len(queries), k), int(EMPTY), dtype=torch.int64, device=device)

    def add(self, start: int, candidates: Floats, rows: NDArray[np.uint32]) -> None:
        """Take a slice of candidates: the first one's position, (C, D) unit vectors, (C,) row numbers."""
        for first in range(0, len(candidates), TILE):
            last = first + TILE
            vectors = torch.from_numpy(candidates[first:last]).to(self.device)
            names = torch.from_numpy(rows[first:last].astype(np.int64)).to(self.device)
            keys = torch.cat([self._best, self._keys(start + first, vectors, names)], dim=1)
            self._best = torch.topk(keys, self.k, dim=1, largest=False, sorted=False).values

    def result(self) -> tuple[Floats, NDArray[np.uint32]]:
        """Similarities (n, k), best first, NaN where there are fewer, and rows (n, k)."""
        return unpack(torch.sort(self._best, dim=1).values.cpu().numpy())

    def _keys(self, start: int, vectors: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        similarity = self.queries @ vectors.T + 0.0  # + 0 turns -0.0 into 0.0, which is a tie
        position = torch.arange(start, start + len(vectors), device=self.device)
        allowed = (position >= self.low[:, None]) & (position < self.high[:, None]) & (position != self.own[:, None])
        bits = similarity.view(torch.int32)
        falling = ~torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
        return torch.where(allowed, (falling.to(torch.int64) << 32) | rows, int(EMPTY))
