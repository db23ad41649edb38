"""The forms in which labelled NIfTI sets circulate, told by what lies in a folder."""
