"""The kernels in plain Python, for machines without a compiler. Same names and behaviour as ``compiled``."""
