"""t2: a transformer on Gaussian-process interpolated light curves (Allam & McEwen 2021, arXiv 2105.06178)."""
