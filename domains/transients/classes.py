"""Groupings of the surveys' own labels into the classes that a run tells apart."""

from collections.abc import Mapping

Classes = Mapping[str, tuple[str, ...]]

# PLAsTiCC target codes; 99x, met only in the test set, are left out (reference: Malz et al. 2019).
PLASTICC: Classes = {
    "microlensing": ("6",),
    "TDE": ("15",),
    "EB": ("16",),
    "SN II": ("42",),
    "SN Iax": ("52",),
    "Mira": ("53",),
    "SN Ibc": ("62",),
    "kilonova": ("64",),
    "M-dwarf": ("65",),
    "SN Ia-91bg": ("67",),
    "AGN": ("88",),
    "SN Ia": ("90",),
    "RR Lyrae": ("92",),
    "SLSN-I": ("95",),
}
SPCC: Classes = {
    "Ia": ("Ia",),
    "II": ("II", "IIn", "IIP", "IIL"),
    "Ibc": ("Ib", "Ic", "Ibc"),
}
ZTF_BTS: Classes = {
    "Ia-like": ("SN Ia", "SN Ia-91T", "SN Ia-pec", "SN Ia-91bg", "SN Iax", "SN Ia-CSM"),
    "II-like": ("SN II", "SN IIP", "SN IIn", "SN IIb", "SN II-pec"),
    "Ibc-like": ("SN Ib", "SN Ic", "SN Ib/c", "SN Ic-BL", "SN Ibn", "SN Icn", "SN Ib-pec"),
    "other": ("SLSN-I", "SLSN-II", "TDE", "nova", "Ca-rich", "other", "ILRT", "LBV", "LRN"),
}
