"""A chain of one chainlet."""

import truss_chains as chains


class Half(chains.ChainletBase):
    """Needs no mark, for it is alone."""

    def run_remote(self, n: int) -> int:
        return n // 2
