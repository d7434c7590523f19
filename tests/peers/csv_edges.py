"""CSV files with the oddities that people write, read by Tidemill beside pandas and DuckDB.

    python tests/peers/csv_edges.py [FILES] [SEED]      TIDEMILL: the binary, default target/release/tidemill

Needs: pip install duckdb pandas. FILES is 300, SEED 13 where nothing else is said.

Every file is generated with the cells that it means. Tidemill gives these cells, or an error; never other ones, fewer or more.
What pandas and DuckDB make of a file is counted beside it: where both have the cells, an error of Tidemill is named.
"""
import gzip, json, os, random, subprocess, sys, tempfile
import duckdb, pandas
BIN = os.path.abspath(os.environ.get('TIDEMILL', 'target/release/tidemill'))
COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 300
rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 13)
ROOT = tempfile.mkdtemp(prefix='csv-edges-')
ALPHABET = ['a', 'b', '1', '2', ' ', 'é', '日', '.', '-']


def cell(end, delimiter, quote, special):
    text = ''.join(rng.choice(ALPHABET + ([delimiter, quote, end, '\n', '\r', '#', quote * 2] if special else []))
                   for _ in range(rng.randrange(1, 6)))
    return '' if rng.random() < .1 else text


def one():
    """(bytes, keys, headings, rows, options for pandas, for DuckDB)"""
    end = rng.choice(['\n', '\r\n', '\r', '\n', 'mixed'])
    delimiter = rng.choice([',', ',', ',', ';', '\t', '|'])
    quote = rng.choice(['"', '"', '"', "'"])
    escape = rng.choice([None, None, None, '\\'])
    comment = rng.choice([None, None, None, '#'])
    header = rng.random() < .85
    skip = rng.choice([0, 0, 0, 1, 3])
    columns = rng.randrange(1, 6)
    special = rng.random() < .6
    ending = lambda: rng.choice(['\n', '\r\n', '\r']) if end == 'mixed' else end

    def written(text, first=False, force=False):
        has = any(c in text for c in (delimiter, quote, '\n', '\r', '\\')) or text != text.strip()
        # A row that begins as a comment, and a row of one empty cell, need quotes.
        has = has or (comment and text.startswith(comment)) or (columns == 1 and text == '')
        if force or has or rng.random() < .1:
            inner = text
            if escape:
                inner = inner.replace(escape, escape * 2)
                inner = inner.replace(quote, (escape + quote) if rng.random() < .7 else quote * 2)
            else:
                inner = inner.replace(quote, quote * 2)
            return quote + inner + quote
        return text

    names = [f'c{i}' + rng.choice(['', ' x', 'é', '\n', delimiter, quote]) for i in range(columns)]
    names = [name.strip() or f'c{i}' for i, name in enumerate(names)]
    rows = [[cell(ending(), delimiter, quote, special) for _ in range(columns)] for _ in range(rng.randrange(0 if header else 1, 30))]
    out = ''
    for _ in range(skip):
        # An empty line behind a CR must not become the line feed of a CRLF.
        out += rng.choice(['title', 'a,b;c', "it's 5\""] + ([] if out.endswith('\r') else [''])) + ending()
    noise = lambda: (comment + rng.choice([' note', ' "open', "'", ',,;']) + ending()) if comment and rng.random() < .15 else (ending() if rng.random() < .05 else '')
    if header:
        out += noise() + delimiter.join(written(name) for name in names) + ending()
    for row in rows:
        out += noise() + delimiter.join(written(text, at == 0) for at, text in enumerate(row)) + ending()
    if rng.random() < .3 and out.endswith(('\n', '\r')) and not (rows and columns == 1 and rows[-1] == ['']):
        out = out.rstrip('\r\n')
    data = out.encode()
    if rng.random() < .2:
        data = b'\xef\xbb\xbf' + data
    packed = rng.random() < .2
    keys = []
    if delimiter != ',': keys.append('delimiter = ' + {'\t': '"\\t"'}.get(delimiter, f'"{delimiter}"'))
    elif columns == 1: keys.append('delimiter = ","')
    if quote != '"': keys.append(f'quote = "{quote}"')
    if escape: keys.append('escape = "\\\\"')
    if comment: keys.append('comment = "#"')
    if not header: keys.append('header = false'); names = [f'_{i + 1}' for i in range(columns)]
    if skip: keys.append(f'skip_rows = {skip}')
    how = dict(delimiter=delimiter, quote=quote, escape=escape, comment=comment, header=header, skip=skip)
    return data, packed, keys, names, rows, how


def by_pandas(path, how):
    table = pandas.read_csv(path, sep=how['delimiter'], quotechar=how['quote'], escapechar=how['escape'], comment=how['comment'],
                            header=0 if how['header'] else None, skiprows=how['skip'], dtype=str, keep_default_na=False, encoding='utf-8')
    return [[str(x) for x in row] for row in table.values.tolist()]


def by_duckdb(path, how):
    said = [f"{key} = '{value}'" for key, value in [('delim', how['delimiter']), ('quote', how['quote'].replace("'", "''")),
            ('escape', how['escape'] or how['quote'].replace("'", "''")), ('comment', how['comment'] or '')]]
    text = f"SELECT * FROM read_csv('{path}', all_varchar = true, header = {how['header']}, skip = {how['skip']}, {', '.join(said)})"
    return [['' if x is None else x for x in row] for row in duckdb.sql(text).fetchall()]


def by_tidemill(folder, keys, path):
    os.makedirs(f'{folder}/jobs'); os.makedirs(f'{folder}/sql/t')
    open(f'{folder}/jobs/t.toml', 'w').write(f'sql = "sql/t"\n[inputs.rows]\npath = "{path}"\nrow_number = "number of row"\n' + '\n'.join(keys) + '\n')
    open(f'{folder}/sql/t/m.sql', 'w').write('SELECT * FROM rows\n')
    run = subprocess.run([BIN, 'run', 't', '--format', 'csv'], cwd=folder, capture_output=True, text=True)
    if run.returncode:
        return None, None, run.stderr
    got = subprocess.run([BIN, 'sql', '--format', 'json', 'SELECT * FROM t.m ORDER BY "number of row"'], cwd=folder, capture_output=True, text=True)
    rows = json.loads(got.stdout)
    shown = subprocess.run([BIN, 'sql', '--format', 'json', 'DESCRIBE t.m'], cwd=folder, capture_output=True, text=True)
    names = [row['column_name'] for row in json.loads(shown.stdout)]
    return names, [['' if row.get(n) is None else row[n] for n in names if n != 'number of row'] for row in rows], got.stderr


counts = dict(same=0, refused=0, pandas=0, duckdb=0)
wrong = 0
for number in range(COUNT):
    data, packed, keys, names, rows, how = one()
    folder = f'{ROOT}/{number}'; os.makedirs(folder)
    path = f'{folder}/r.csv'
    open(path, 'wb').write(data)
    taken = path
    if packed:
        taken = f'{folder}/p.csv.gz'; gzip.open(taken, 'wb').write(data)
    right = rows
    peers = {}
    for name, read in (('pandas', by_pandas), ('duckdb', by_duckdb)):
        try:
            peers[name] = read(path, how) == right
        except Exception:
            peers[name] = False
        counts[name] += peers[name]
    found, got, said = by_tidemill(folder, keys, taken)
    if got is None:
        counts['refused'] += 1
        print(f'{number}: refused ({", ".join(n for n, ok in peers.items() if ok) or "nobody"} reads it): {said.strip()[-300:]}')
        wrong += 1
    elif got == right and found[:-1] == [n.strip() for n in names]:
        counts['same'] += 1
    else:
        wrong += 1
        print(f'{number}: WRONG {path} {keys}\n  {data[:300]!r}\n  right {names} {right[:6]}\n  got {found} {got[:6]} {said[-200:]}')
print(f'{COUNT} files: {counts["same"]} read whole, {counts["refused"]} refused; pandas reads {counts["pandas"]} of them, DuckDB {counts["duckdb"]}')
sys.exit(wrong > 0)
