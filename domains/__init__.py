"""The sciences in the box, one package each; pipelines find them through entry points."""
