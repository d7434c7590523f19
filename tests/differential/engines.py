"""The two engines: Tidemill by its prompt, DuckDB in this process. Each answers a statement with rows or an error.

The prompt of `tidemill sql` goes on after an error, so one process runs thousands of statements. It wants a terminal on
stdin: a pseudo-terminal of the kind `dumb` is read line by line as it is. After each statement it prints its prompt on stdout; what
it has to say of the statement is on stderr before that.
"""
import os
import pty
import re
import select
import shutil
import subprocess
import tempfile
import termios
import time

import duckdb

PROMPT = b"tidemill> "
JOB = "t"


class Answer:
    """`rows` of text (Tidemill) or values (DuckDB) under `names`, or `error`; `fate` is 'rows', 'error', 'crash' or 'hang'."""

    def __init__(self, fate, names=(), rows=(), error="", types=()):
        self.fate, self.names, self.rows, self.error, self.types = fate, list(names), list(rows), error, list(types)


class Tidemill:
    """A lake of the tables, and a prompt on it."""

    def __init__(self, binary, tables, timeout=30):
        self.binary, self.timeout, self.process = binary, timeout, None
        self.folder = tempfile.mkdtemp(prefix="differential-")
        for folder in ("jobs", f"sql/{JOB}", "data"):
            os.makedirs(f"{self.folder}/{folder}")
        with open(f"{self.folder}/jobs/{JOB}.toml", "w") as job:
            job.write(f'sql = "sql/{JOB}"\n')
            for table in tables:
                table.write(f"{self.folder}/data/{table.name}.parquet")
                job.write(f'[inputs.in_{table.name}]\npath = "data/{table.name}.parquet"\n')
                with open(f"{self.folder}/sql/{JOB}/{table.name}.sql", "w") as sql:
                    sql.write(f"SELECT * FROM in_{table.name}\n")
        self.environment = {**os.environ, "TERM": "dumb", "NO_COLOR": "1", "XDG_STATE_HOME": self.folder, "RUST_BACKTRACE": "0"}
        built = subprocess.run([binary, "run", JOB], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120)
        if built.returncode:
            raise SystemExit(f"the tables could not be built:\n{built.stderr}")

    def start(self):
        self.terminal, theirs = pty.openpty()
        settings = termios.tcgetattr(theirs)
        settings[3] &= ~termios.ECHO
        termios.tcsetattr(theirs, termios.TCSANOW, settings)
        self.process = subprocess.Popen([self.binary, "sql", "--format", "csv"], cwd=self.folder, env=self.environment, stdin=theirs,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.close(theirs)
        self.out, self.err = self.process.stdout.fileno(), self.process.stderr.fileno()
        os.set_blocking(self.err, False)
        if self.read() is None:
            raise SystemExit("tidemill sql does not start")

    def read(self):
        """stdout up to the prompt and stderr so far; None where it has died, False where it hangs."""
        out, err, end = b"", b"", time.time() + self.timeout
        while not out.endswith(PROMPT):
            ready, _, _ = select.select([self.out, self.err], [], [], max(0, end - time.time()))
            if not ready:
                return False
            if self.err in ready:
                err += os.read(self.err, 1 << 16)
            if self.out in ready:
                piece = os.read(self.out, 1 << 16)
                if not piece:
                    self.last = err
                    return None
                out += piece
        try:
            err += os.read(self.err, 1 << 16)
        except BlockingIOError:
            pass
        return out[:-len(PROMPT)].decode(), err.decode()

    def ask(self, statement):
        if self.process is None:
            self.start()
        # A terminal's line holds 4,095 bytes.
        for line in folded(statement + ";"):
            os.write(self.terminal, line.encode() + b"\n")
        got = self.read()
        if not got:
            fate = "hang" if got is False else "crash"
            error = f"no answer in {self.timeout} s" if got is False else self.last.decode(errors="replace")[:2000]
            self.stop()
            return Answer(fate, error=error)
        out, err = got
        if re.match(r"\d[\d,]* rows? in ", err.splitlines()[-1] if err else ""):
            names, *rows = records(out)
            return Answer("rows", names, rows)
        return Answer("crash" if re.search(r"panicked|[Ii]nternal error|this is a bug", err) else "error", error=err.strip())

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            os.close(self.terminal)
            self.process = None

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def folded(text, width=1000):
    """Lines of at most about `width` characters, cut at spaces outside quotes."""
    lines, line = [], ""
    for piece in re.findall(r"(?:'[^']*'|[^'\s])+|\s+", text):
        if len(line) > width and piece.isspace():
            lines.append(line)
            line = ""
        else:
            line += piece
    return lines + [line]


def records(text):
    """CSV records of text cells; a cell without a character is None (Tidemill prints null and '' alike)."""
    rows, row, cell, quoted, place = [], [], [], False, 0
    while place < len(text):
        c = text[place]
        if quoted:
            if c == '"' and text[place + 1:place + 2] == '"':
                cell.append(c)
                place += 1
            elif c == '"':
                quoted = False
            else:
                cell.append(c)
        elif c == '"':
            quoted = True
        elif c in ",\n":
            row.append("".join(cell) or None)
            cell = []
            if c == "\n":
                rows.append(row)
                row = []
        else:
            cell.append(c)
        place += 1
    return rows


class DuckDB:
    """The same Parquet files as tables of a DuckDB in memory."""

    def __init__(self, tables, folder):
        self.tables, self.folder = tables, folder
        self.connect()

    def connect(self):
        self.connection = duckdb.connect(config={"threads": 1})
        self.connection.execute("SET order_by_non_integer_literal = true")
        for table in self.tables:
            self.connection.execute(f"CREATE TABLE {table.name} AS SELECT * FROM '{self.folder}/data/{table.name}.parquet'")

    def ask(self, statement):
        try:
            cursor = self.connection.execute(statement)
            rows = cursor.fetchall()
            return Answer("rows", [c[0] for c in cursor.description], rows, types=[str(c[1]) for c in cursor.description])
        except (duckdb.Error, OverflowError, ValueError) as error:
            if isinstance(error, duckdb.FatalException):
                # It answers nothing after this.
                self.connection.close()
                self.connect()
            return Answer("error", error=str(error).strip())

    def close(self):
        self.connection.close()
