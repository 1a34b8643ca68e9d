"""Finding lenses with labels: linear and fine-tuned classifiers, their scores, and how good they are."""
