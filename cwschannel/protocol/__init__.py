"""The rules of RFC 6455, without I/O and without a clock. Whatever waits lives in ``channels``."""
