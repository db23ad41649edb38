"""Do cuts bear out what maps say? What they mark is cut, and how they rank is held against cuts."""
