"""What the archives say about a sequencing run: ENA's file report, and the run info of NCBI for when ENA is silent.

What must not enter: downloads, the local disk.
"""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from longshore_data import uri
from longshore_data.store import Found, StoreError
from longshore_data.uri import Location

#: Where the archives answer; variables of these names may say otherwise, for mirrors. LONGSHORE_ENA_HTTPS and
#: LONGSHORE_ENA_FTP, where they are set, are the base URLs of mirrors of ENA's files.
URLS: Final = {
    "LONGSHORE_ENA_URL": "https://www.ebi.ac.uk/ena/portal/api/filereport",
    "LONGSHORE_SRA_URL": "https://sra-pub-run-odp.s3.amazonaws.com/sra",
    "LONGSHORE_RUNINFO_URL": "https://trace.ncbi.nlm.nih.gov/Traces/sra-db-be/runinfo",
}

_FIELDS: Final = "fastq_ftp,fastq_md5,fastq_bytes,submitted_ftp,submitted_md5,submitted_bytes"
_READ_1 = re.compile(r"_R?1(_001)?\.f(ast)?q(\.gz|\.bz2)?$", re.IGNORECASE)
_READ_2 = re.compile(r"_R?2(_001)?\.f(ast)?q(\.gz|\.bz2)?$", re.IGNORECASE)


class RunFile(NamedTuple):
    """One file of a run: its name, where ENA serves it (host and path, empty: nowhere), bytes (-1: unknown), MD5 in hex."""

    name: str
    path: str = ""
    size: int = -1
    md5: str = ""

    def found(self) -> Found:
        """As a listing shows it; the MD5 is the version."""
        return Found(self.name, self.size, self.md5, 0.0, self.md5)


def address(environ: Mapping[str, str], name: str) -> str:
    """The URL of that name, without a slash at its end."""
    return (environ.get(name) or URLS[name]).rstrip("/")


def file_place(environ: Mapping[str, str], way: str, path: str) -> Location:
    """Where a file of a report is, by `https` or `ftp`; a mirror's base URL, if one is set, replaces ENA's host."""
    mirror = environ.get(f"LONGSHORE_ENA_{way.upper()}", "").rstrip("/")
    return uri.parse(f"{mirror}/{path.partition('/')[2]}" if mirror else f"{way}://{path}")


def report_place(environ: Mapping[str, str], run: str) -> Location:
    """Where ENA's report about `run` is."""
    query = f"accession={run}&result=read_run&fields={_FIELDS}&format=json"
    return uri.parse(f"{address(environ, 'LONGSHORE_ENA_URL')}?{query}")


def info_place(environ: Mapping[str, str], run: str) -> Location:
    """Where NCBI's run info about `run` is."""
    return uri.parse(f"{address(environ, 'LONGSHORE_RUNINFO_URL')}?acc={run}")


def read_report(data: bytes, kind: str, doing: str) -> list[RunFile]:
    """The files of one kind (`fastq`, `submitted`) in a report; none if the run is unknown or has none."""
    try:
        rows = json.loads(data) if data.strip() else []
        return [file for row in rows for file in _files(row, kind)]
    except (ValueError, TypeError, AttributeError) as err:
        start = data[:80].decode(errors="replace")
        raise StoreError(f"{doing}: ENA's report makes no sense ({err}): it begins {start!r}", retriable=True) from err


def read_info(data: bytes, run: str, doing: str) -> list[RunFile]:
    """The FASTQ files that a run's layout stands for, named as ENA names them."""
    for row in csv.DictReader(io.StringIO(data.decode(errors="replace"))):
        if row.get("Run") == run:
            ends = ("_1", "_2") if row.get("LibraryLayout") == "PAIRED" else ("",)
            return [RunFile(f"{run}{end}.fastq.gz") for end in ends]
    raise StoreError(f"{doing}: NCBI knows no run {run}: correct the accession", missing=True)


def only_read_1(files: Sequence[RunFile]) -> list[RunFile]:
    """The files of the first reads; of a run that is not paired, its file."""
    first = [f for f in files if _READ_1.search(f.name)]
    return first or [f for f in files if not _READ_2.search(f.name)]


def _files(row: Mapping[str, str], kind: str) -> list[RunFile]:
    paths = [p for p in (row.get(f"{kind}_ftp") or "").split(";") if p]
    sizes = (row.get(f"{kind}_bytes") or "").split(";")
    digests = (row.get(f"{kind}_md5") or "").split(";")
    files: list[RunFile] = []
    for k, path in enumerate(paths):
        size = sizes[k] if k < len(sizes) else ""
        path = path.partition("://")[2] or path
        name = uri.safe_path(path.rpartition("/")[2])
        md5 = digests[k].lower() if k < len(digests) else ""
        files.append(RunFile(name, path, int(size) if size.isdigit() else -1, md5))
    return files
