"""Answers of the two engines as multisets of rows, and the classes of a pair of answers."""
import collections
import datetime as dt
import math
import re
from decimal import Decimal, InvalidOperation

RELATIVE = 1e-9

Known = collections.namedtuple("Known", "name pattern reason")

#: Differences that have a name: by the *smallest* statement that shows one, so that a pattern cannot hide another difference
#: of a longer statement. A kind that is mended goes from here.
KNOWN = [
    Known("a merged column of FULL JOIN in a subquery", re.compile(r"\(SELECT .* FULL JOIN \w+ AS \w+ USING \([^)]*\b(\w+)\b[^)]*\)[^()]* WHERE \(?\1\b"),
          "DuckDB takes a column of that name of the rows around for it; the nearest one is meant, as in PostgreSQL"),
    Known("regr_count of no rows in a subquery", re.compile(r"\(SELECT regr_count\(.* WHERE .*\bt\d+\.\w+ = t\d+\.\w+"),
          "DuckDB has null for an outer row that meets none, and 0 of no rows elsewhere; PostgreSQL counts 0"),
    Known("a comparison with what is behind the last row", re.compile(r"= [^=]*\b(lead|lag)\((TIMESTAMP|DATE) "),
          "DuckDB finds it false: it takes lead and lag of a constant for the constant; null equals nothing"),
]

#: Errors of Tidemill where DuckDB answers: (pattern, class).
REFUSED = [
    (r"This feature is not implemented|not supported|[Uu]nsupported", "not supported"),
    (r"[Oo]verflow|is more than .* holds|is too large to store in a Decimal", "overflow"),  # DuckDB adds up in HUGEINT and leaves untaken branches alone
    (r"whose length depends on where they begin", "a time against months"),
    (r"merges in ROLLUP|merges in one what they are|cannot be told|is merged again after|may be the column that|may be of several tables|Ambiguous reference", "USING that is ambiguous"),
    (r"write parentheses around IS", "IS DISTINCT FROM without parentheses"),
    (r"ORDER BY keys that do not go together|has no moving frame|is of columns and of what is written out", "not supported"),
    (r"must be aggregated to return|only supports single column join key", "correlated subquery"),
    (r"stands in SELECT, WHERE and HAVING|no plan for a subquery that reads the row", "a subquery that no join answers"),
    (r"before a column that USING or NATURAL merges", "USING that is ambiguous"),
    (r"meet the outer row by `=` alone|meets the row around it below|stand in WHERE and as columns|reads columns of both sides, or of a LATERAL one", "a subquery that no join answers"),
    (r"its type has no sign", "the negative of regr_count"),
    (r"a DATE or TIMESTAMP is of the years 1 to 9999", "a date beyond the years 1 to 9999"),
    (r"exceeds the representable|out of range", "a date that nanoseconds do not hold"),
    (r"DISTINCT ON expressions must match", "DISTINCT ON in another order"),
    (r"Can't cast value", "a constant that cannot be cast, over no rows"),
    # Errors of DataFusion that do not say what to write instead; each goes from here when it is mended.
    (r"Schema contains duplicate (un)?qualified field name|have the same name", "unclear: two expressions of one name"),  # datafusion#18975, #5174
    (r"scalar_subquery_to_join' failed|optimize_projections' failed", "unclear: a name lost by the optimizer"),
    (r"^error: Schema error: No field named", "unclear: a USING column in a subquery, an alias after DISTINCT ON"),
]
#: Errors of DuckDB where Tidemill answers.
DUCK_REFUSED = [
    (r"Overflow|out of range|Out of Range", "overflow"),  # INT arithmetic with a constant is BIGINT here
    (r"Could not cast value \S+ to DECIMAL", "overflow"),  # of a column that nothing reads
    (r"In a DISTINCT aggregate, ORDER BY expressions must appear", "a subquery in a DISTINCT aggregate"),  # it is the argument
    # DataFusion takes the one around it.
    (r"Ambiguous reference to column name", "a bare name that two tables of a subquery have, and one around it"),
    (r"^FATAL Error: .*\n?.*Vector::Reference used on vector of different type", "a defect of DuckDB"),
    # Every scalar subquery is made with LIMIT 1 or as an aggregate: over an anti join 2.0.1 counts rows that it has cut off.
    (r"More than one row returned by a subquery", "a defect of DuckDB"),
    (r"Not implemented|not supported", "not supported"),
    (r'Unimplemented type for cast \(DECIMAL\(\d+,\d+\) -> "NULL"\)', "a defect of DuckDB"),  # lag of a null decimal, with a default
    (r"Cannot mix values of type VARCHAR and BLOB|starts_with\(BLOB", "a defect of DuckDB"),  # repeat of a null text is a BLOB
    (r"^INTERNAL Error: Failed to bind column reference", "a defect of DuckDB"),
]


def verdict(ours, theirs, exact, ordered=False):
    """'equal', 'both errors', 'refused', 'duckdb refused', 'DIFFERENT' or 'BROKEN'."""
    if ours.fate in ("crash", "hang"):
        return "BROKEN"
    if ours.fate != "rows":
        return "both errors" if theirs.fate == "error" else "refused"
    if theirs.fate == "error":
        return "duckdb refused"
    return "equal" if same(ours, theirs, exact, ordered) else "DIFFERENT"


def same(ours, theirs, exact, ordered):
    if len(ours.rows) != len(theirs.rows) or sorted(ours.names) != sorted(theirs.names):
        return False
    # By name: of SELECT * with USING, DuckDB leaves a merged column where the left table has it; the standard puts it first.
    mine, others = (sorted(range(len(names)), key=lambda i: names[i]) for names in (ours.names, theirs.names))
    right = [[plain(row[i]) for i in others] for row in theirs.rows]
    kinds = [kind_of(theirs.types[i]) for i in others]
    left = [[parsed(row[i], kind) for i, kind in zip(mine, kinds)] for row in ours.rows]
    if not exact:
        right = [[None if c == "" else c for c in row] for row in right]
    if ordered:
        return all(rows_equal(a, b) for a, b in zip(left, right))
    left.sort(key=row_key)
    right.sort(key=row_key)
    if all(rows_equal(a, b) for a, b in zip(left, right)):
        return True
    # Doubles that differ in their last digits may sort differently. What is the same to the last digit belongs together.
    rest, others = list(right), []
    for row in left:
        same_row = next((i for i, other in enumerate(rest) if rows_equal(row, other, 0)), None)
        if same_row is None:
            others.append(row)
        else:
            rest.pop(same_row)
    for row in others:
        found = next((i for i, other in enumerate(rest) if rows_equal(row, other)), None)
        if found is None:
            return False
        rest.pop(found)
    return True


def kind_of(type):
    if re.match(r"DECIMAL|[A-Z]*INT|DOUBLE|FLOAT", type) and not type.endswith("]"):
        return "number"
    if type in ("DATE", "TIMESTAMP"):
        return "time"
    if type == "INTERVAL":
        return "interval"
    return "boolean" if type == "BOOLEAN" else "text"


def plain(cell):
    """A DuckDB value: numbers as int, float or Decimal, dates as midnights."""
    if isinstance(cell, dt.date) and not isinstance(cell, dt.datetime):
        return dt.datetime(cell.year, cell.month, cell.day)
    return cell


def parsed(cell, kind):
    """A Tidemill cell as a value of DuckDB's kind; text that is none stays text and equals nothing."""
    if cell is None:
        return None
    try:
        if kind == "number":
            if cell in ("NaN", "inf", "-inf") or "e" in cell:
                return float(cell)
            return Decimal(cell)
        if kind == "time":
            # Python's years end at 9999; DuckDB's binding gives text past it.
            if cell.startswith("+"):
                return cell[1:].replace("T", " ")
            if cell.startswith(("0000-", "-")):
                year, rest = re.match(r"(-?\d+)-(.*)", cell).groups()
                day, _, clock = rest.partition("T")
                return f"{1 - int(year):04d}-{day} (BC)" + (f" {clock}" if clock else "")
            return dt.datetime.fromisoformat(cell)
        if kind == "boolean":
            return {"true": True, "false": False}.get(cell, cell)
    except (ValueError, InvalidOperation):
        pass
    return cell


def row_key(row):
    return [cell_key(c) for c in row]


def cell_key(cell):
    if cell is None:
        return (0, 0, "")
    if isinstance(cell, bool):
        return (1, cell, "")
    if isinstance(cell, (int, float, Decimal)):
        value = float(cell)
        return (3, 0, "") if math.isnan(value) else (2, float(f"{value:.7g}") + 0.0, "")
    if isinstance(cell, dt.datetime):
        return (4, cell.toordinal() * 86400 + cell.hour * 3600 + cell.minute * 60 + cell.second + cell.microsecond / 1e6, "")
    return (5, 0, str(cell))


def rows_equal(a, b, relative=RELATIVE):
    return all(cells_equal(x, y, relative) for x, y in zip(a, b))


def cells_equal(a, b, relative=RELATIVE):
    """`a` ours, `b` DuckDB's: doubles to 1e-9 relative, zero to 1e-12, all else exactly. The two zeros are one."""
    if a is None or b is None or isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, (Decimal, float)) and isinstance(b, (int, float, Decimal)):
        if isinstance(b, float):
            x = float(a)
            return (math.isnan(x) and math.isnan(b)) or x == b or abs(x - b) <= max(relative * abs(b), 1e-12)
        return a == b
    return type(a) is type(b) and a == b


def shape(error):
    """An error's first line without names and numbers: what errors are grouped by."""
    first = error.strip().splitlines()[0] if error.strip() else ""
    first = re.sub(r"^thread .* panicked at .*/(\w+\.rs).*", r"panicked in \1", first)
    first = re.sub(r"(field|field named|name) [\w\"]+(\.\w+)?", r"\1 …", first)
    first = re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`", "…", first)
    first = re.sub(r"(does not support logical expression \w+)\(.*", r"\1", first)
    return re.sub(r"\b[a-z]+\d+(\.\w+)?\b|-?\d[\d.e+]*", "#", first)[:150]


def reason(error, known):
    return next((why for pattern, why in known if re.search(pattern, error)), None)
