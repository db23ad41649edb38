"""Make all forms, and print the line to type for each."""

import sys
from pathlib import Path

from helpers.forms import FORMS, make

for form in FORMS:
    line = make(form, Path(sys.argv[1]), Path(sys.argv[2]) / form)
    print(f"{form:24} python train.py {' '.join(line)}")
