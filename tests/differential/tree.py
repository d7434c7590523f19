"""A statement as a tree, written in the words of each engine and made smaller piece by piece.

A node knows its type, so that a smaller one of the same type may stand in its place; the words of the two engines differ in a
few templates only (integer division is `/` here and `//` there), so that results need no excuse.
"""

NULLS = {"int": "CAST(NULL AS INT)", "dbl": "CAST(NULL AS DOUBLE)", "dec": "CAST(NULL AS DECIMAL(10,2))", "text": "CAST(NULL AS VARCHAR)",
         "bool": "CAST(NULL AS BOOLEAN)", "date": "CAST(NULL AS DATE)", "ts": "CAST(NULL AS TIMESTAMP)"}
PLAIN = {"int": "1", "dbl": "1e0", "dec": "CAST('1.00' AS DECIMAL(10,2))", "text": "'a'", "bool": "TRUE", "date": "DATE '2024-01-31'",
         "ts": "TIMESTAMP '2024-01-31 00:00:00'"}
SCALARS = tuple(NULLS)


class Node:
    """`{0}`, `{1}`, … of the template are the children; `duck` is DuckDB's template where it is another."""

    __slots__ = ("type", "template", "children", "duck")

    def __init__(self, type, template, *children, duck=None):
        self.type, self.template, self.children, self.duck = type, template, children, duck

    def sql(self, duck=False):
        template = self.duck if duck and self.duck is not None else self.template
        return template.format(*(c.sql(duck) for c in self.children)) if self.children else template

    def with_child(self, place, child):
        return Node(self.type, self.template, *self.children[:place], child, *self.children[place + 1:], duck=self.duck)

    def below(self):
        for child in self.children:
            yield child
            yield from child.below()

    def smaller(self):
        """Trees with one piece less, the largest steps first. Not all are valid statements."""
        if self.type == "ordered":
            yield self.children[0]
        if self.type in NULLS or self.type in ("query", "from"):
            for node in self.below():
                if node.type == self.type:
                    yield node
        if self.type in NULLS and self.children:
            yield Node(self.type, PLAIN[self.type])
            yield Node(self.type, NULLS[self.type])
        yield from self.inside()

    def inside(self):
        for place, child in enumerate(self.children):
            for other in child.smaller():
                yield self.with_child(place, other)


class Seq(Node):
    """Children with a separator between them, at least `least` of them."""

    __slots__ = ("separator", "least")

    def __init__(self, separator, children, least=1):
        super().__init__("seq", "", *children)
        self.separator, self.least = separator, least

    def sql(self, duck=False):
        return self.separator.join(c.sql(duck) for c in self.children)

    def with_child(self, place, child):
        return Seq(self.separator, [*self.children[:place], child, *self.children[place + 1:]], self.least)

    def smaller(self):
        if len(self.children) > self.least:
            for place in range(len(self.children)):
                yield Seq(self.separator, [*self.children[:place], *self.children[place + 1:]], self.least)
        yield from self.inside()


class Opt(Node):
    """A clause that may go."""

    __slots__ = ()

    def __init__(self, template, *children, duck=None):
        super().__init__("opt", template, *children, duck=duck)

    def with_child(self, place, child):
        return Opt(self.template, *self.children[:place], child, *self.children[place + 1:], duck=self.duck)

    def smaller(self):
        yield Node("gone", "")
        yield from self.inside()
