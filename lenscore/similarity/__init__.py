"""Similar objects: embeddings, exact windowed neighbours, an approximate index, queries."""

from lenscore.similarity.embeddings import Embeddings, EmbeddingsBatch
from lenscore.similarity.index import Index
from lenscore.similarity.neighbours import Neighbours
from lenscore.similarity.whiten import Whitening

__all__ = ["Embeddings", "EmbeddingsBatch", "Index", "Neighbours", "Whitening"]
