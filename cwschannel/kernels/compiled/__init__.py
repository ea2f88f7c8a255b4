"""The kernels in Cython and C. Same names and behaviour as ``pure``."""
