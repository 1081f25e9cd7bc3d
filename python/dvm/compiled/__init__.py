"""A compiled model: what it takes and returns, its call, its file. Nothing here needs torch unless the model does."""
