"""What waits: sockets and loops under the rules of ``protocol``."""
