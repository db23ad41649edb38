"""MiSuRe: Hasany, Mériaudeau and Petitjean 2024."""
