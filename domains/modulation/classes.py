"""Class lists of the published sets, in the order their arrays use, and which classes may be conjugated."""

RML2016A = ("8PSK", "AM-DSB", "AM-SSB", "BPSK", "CPFSK", "GFSK", "PAM4", "QAM16", "QAM64", "QPSK", "WBFM")
RML2016B = tuple(name for name in RML2016A if name != "AM-SSB")

# The list shipped with the 2018 file is in another order than its one-hot labels; this is the order of the labels.
RML2018 = (
    "OOK", "4ASK", "8ASK", "BPSK", "QPSK", "8PSK", "16PSK", "32PSK", "16APSK", "32APSK", "64APSK", "128APSK",
    "16QAM", "32QAM", "64QAM", "128QAM", "256QAM", "AM-SSB-WC", "AM-SSB-SC", "AM-DSB-WC", "AM-DSB-SC", "FM", "GMSK",
    "OQPSK",
)  # fmt: skip

SATELLITE = ("AFSK", "BPSK", "FSK")

_ONE_SIDED = ("AM-SSB", "AM-SSB-WC", "AM-SSB-SC", "AM-USB", "AM-LSB")


def may_conjugate(label: str) -> bool:
    """Whether the mirrored spectrum is a signal of the same class: not for one sideband, which becomes the other."""
    return label not in _ONE_SIDED
