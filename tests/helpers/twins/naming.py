"""Classes that bear the names of a published network's, so that the table knows them by these."""


def named(path):
    """Decorator: the class stands where the published one does, as far as its names say.

    Not the class itself is renamed, since its own helpers look for it where it is.
    """

    def subclass(cls):
        module, _, name = path.rpartition(".")
        return type(name, (cls,), {"__module__": module, "__qualname__": name})

    return subclass
