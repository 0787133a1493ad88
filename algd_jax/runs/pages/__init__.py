"""Pages of one file that open without a network: reports, comparisons and episodes share them."""
