"""The generated abdominal CT: anatomy, fields, surroundings, painted with exact sums."""
