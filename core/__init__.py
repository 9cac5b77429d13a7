"""The shared core: tokens, mixers, trunks, kernels, cards and the plugin contract. Knows no domain."""
