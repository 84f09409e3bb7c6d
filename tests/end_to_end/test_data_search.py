"""``debye data search`` as a user runs it, against a server with RCSB's interfaces."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.archive import ArchiveServer, Fault, running
from servers.entry_files import entry_bcif, zipped
from servers.rcsb import GRAPHQL, SEARCH, Protein, ServedEntry, serve
from typer.testing import CliRunner, Result

from debye.cli.main import app
from debye.errors import DebyeError

CLUSTERS = "/resources/sequence/clusters/clusters-by-entity-{}.txt"
KINASE = (Protein(length=300, pfam=("PF00069",), ec="2.7.11.1"),)
ENTRIES = (
    # One cluster: two apo, two holo, one with additives only.
    ServedEntry(id="1aaa", resolution=1.8, ligands={"GOL": 6, "SO4": 5}),
    ServedEntry(id="1aab", resolution=2.0),
    ServedEntry(id="1aac", resolution=1.5, ligands={"ATP": 31, "MG": 1}),
    ServedEntry(id="1aad", resolution=1.5, r_free=0.19, ligands={"STI": 37}),
    ServedEntry(id="1aae", resolution=1.8, r_free=0.0, sugars={"NAG": 15}),
    # Another one; its second protein is in the first cluster.
    ServedEntry(id="2bbb", proteins=(Protein(length=90), Protein(length=200))),
    # In no cluster yet.
    ServedEntry(id="3ccc", released="2026-11-20", ligands={"NEW": None}),
    # What the recipe does not want.
    ServedEntry(id="4low", resolution=3.4),
    ServedEntry(id="4nmr", method="SOLUTION NMR", resolution=None),
    ServedEntry(id="4dna", nucleic_acids=1),
    ServedEntry(id="4big", atoms=90_000),
    ServedEntry(id="4pep", proteins=(Protein(length=12),)),
    # Kinases: enzyme, pseudokinase, histidine kinase, small-molecule kinase, SH2 domain of a kinase.
    ServedEntry(id="5kin", proteins=KINASE, resolution=2.5),
    ServedEntry(id="5pse", proteins=(Protein(length=310, pfam=("PF07714", "PF00017")),)),
    ServedEntry(id="5his", proteins=(Protein(length=250, ec="2.7.13.3"),)),
    ServedEntry(id="5hex", proteins=(Protein(length=450, ec="2.7.1.1"),)),
    ServedEntry(id="5sh2", proteins=(Protein(length=100, pfam=("PF00017",), ec="2.7.10.2"),)),
)
CLUSTERS_30 = """\
AF_AFP12345F1_1 1AAA_1 1AAB_1 1AAC_1 1AAD_1 1AAE_1 2BBB_1 9XYZ_3
2BBB_2 8ABC_1
5KIN_1 5PSE_1
5HIS_1
5HEX_1
5SH2_1
"""


@pytest.fixture
def server(monkeypatch) -> Iterator[ArchiveServer]:
    with running() as archive:
        clusters = {30: CLUSTERS_30, 95: CLUSTERS_30.replace("5KIN_1 ", "5KIN_1\n")}
        serve(archive, ENTRIES, clusters, removed={"9old": ["9mid"], "9mid": ["2bbb"], "9gon": []})
        for address in ("MODELS", "FILES", "ALPHAFOLD", "SEARCH", "DATA", "CLUSTERS"):
            monkeypatch.setenv(f"DEBYE_{address}_URL", archive.url)
        yield archive


def search(recipe: object, output: Path, *arguments: object) -> Result:
    words = ["data", "search", recipe, "-o", output, "--longest-wait", 0.05, *arguments]
    return CliRunner().invoke(app, [str(word) for word in words])


def rows(path: Path) -> dict[str, dict[str, str]]:
    with open(path, newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def recipe_file(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(f'name = "mine"\n{text}')
    return path


def test_apo_holo_takes_the_best_of_each_cluster_and_state(server, tmp_path):
    output = tmp_path / "lists" / "apo_holo.csv"
    result = search("apo_holo", output)
    assert result.exit_code == 0, result.output
    chosen = rows(output)
    assert {name: row["state"] for name, row in chosen.items()} == {
        "1aaa": "apo", "1aad": "holo", "2bbb": "apo", "3ccc": "holo", "5pse": "apo", "5his": "apo",
        "5hex": "apo", "5sh2": "apo",
    }  # fmt: skip
    assert {row["split"] for row in chosen.values()} == {"train"}
    assert chosen["1aaa"]["cluster"] == "1aaa_1", "named after the first entity of the PDB"
    assert chosen["1aaa"]["additives"] == "GOL;SO4"
    assert chosen["2bbb"]["cluster"] == "2bbb_2", "that of the longest protein"
    assert chosen["2bbb"]["clusters"] == "1aaa_1;2bbb_2"
    assert chosen["3ccc"]["cluster"] == "3ccc_1"
    assert chosen["3ccc"]["ligands"] == "NEW", "a component of unknown size counts"

    decisions = rows(output.with_suffix(".decisions.csv"))
    reasons = {name: row["reason"] for name, row in decisions.items()}
    assert len(decisions) == 12, "what the search left out is not known"
    assert reasons["1aaa"] == "number 1 of 3 in 1aaa_1, apo"
    assert "1aaa is better (1.8 Å to 2 Å)" in reasons["1aab"]
    assert "1aad is better (equal resolution; R-free 0.19 to 0.2)" in reasons["1aac"]
    assert "1aaa is better (equal resolution; R-free 0.2 to none)" in reasons["1aae"]
    assert decisions["1aab"]["decision"] == "passed over"

    record = json.loads(output.with_suffix(".json").read_text())
    assert (
        record["counts"] | {"chosen": 8, "apo": 6, "holo": 2, "in no cluster": 1}
        == record["counts"]
    )
    assert record["hits"] == 13, "entities"
    assert record["recipe"]["choose"]["identity"] == 30
    assert record["search_url"] == server.url
    assert len(record["clusters_sha256"]) == 64
    assert (output.parent / record["clusters"]).read_text() == CLUSTERS_30


def test_glycoproteins_are_proteins(server, tmp_path):
    glycan = {"NAG": 15, "BMA": 12}
    for name, proteins in (("apo_holo", (Protein(),)), ("kinase", KINASE)):
        serve(server, [ServedEntry(id="6gly", proteins=proteins, sugars=glycan)], {30: "6GLY_1\n"})
        assert search(name, tmp_path / f"{name}.csv").exit_code == 0
        assert rows(tmp_path / f"{name}.csv")["6gly"]["state"] == "apo"


def test_the_same_server_gives_the_same_list(server, tmp_path):
    for name in ("first", "second"):
        search("apo_holo", tmp_path / name / "list.csv")
    texts = [(tmp_path / name / "list.csv").read_bytes() for name in ("first", "second")]
    assert texts[0] == texts[1]


def test_kinases_are_found_by_family_or_enzyme_class(server, tmp_path):
    output = tmp_path / "kinase.csv"
    assert search("kinase", output).exit_code == 0
    chosen = rows(output)
    assert {name: row["group"] for name, row in chosen.items()} == dict.fromkeys(
        ("5kin", "5pse", "5his", "5sh2"), "protein-kinase"
    )
    assert {row["split"] for row in chosen.values()} == {"kinase"}
    assert chosen["5kin"]["pfam"] == "PF00069"
    assert chosen["5kin"]["ec"] == "2;2.7;2.7.11;2.7.11.1"


def test_groups_are_found_by_both_criteria_and_named(server, tmp_path):
    recipe = recipe_file(
        tmp_path,
        '[[groups]]\nname = "protein-kinase"\npfam = ["PF00069"]\nec = ["2.7.11"]\nmatch = "both"\n'
        '[[groups]]\nname = "sugar-kinase"\nec = ["2.7.1"]\n[choose]\nidentity = 95\n',
    )
    assert search(recipe, tmp_path / "list.csv").exit_code == 0
    groups = {name: row["group"] for name, row in rows(tmp_path / "list.csv").items()}
    assert groups == {"5kin": "protein-kinase", "5hex": "sugar-kinase"}


FILTERS = {
    "an upper bound is inclusive": (ServedEntry(id="6yes", resolution=3.0), "", True),
    "a lower bound is inclusive": (
        ServedEntry(id="6yes", resolution=1.5), "[entries]\nbest_resolution = 1.5\n", True,
    ),
    "computed models are not looked for": (ServedEntry(id="6yes", is_computed=True), "", False),
    "nucleic acids are not looked for": (
        ServedEntry(id="6yes", proteins=(Protein(kind="DNA"),)), "", False,
    ),
    "family and type are of one annotation": (
        ServedEntry(
            id="6yes",
            proteins=(Protein(pfam=("PF00017",), annotations=(("PF00069", "SCOP"),)),),
        ),
        '[[groups]]\nname = "kinase"\npfam = ["PF00069"]\n', False,
    ),
    "released until the day": (
        ServedEntry(id="6yes", released="2020-01-01"),
        "[entries]\nreleased_until = 2020-01-01\n", True,
    ),
    "released after the day": (
        ServedEntry(id="6yes", released="2020-01-02"),
        "[entries]\nreleased_until = 2020-01-01\n", False,
    ),
    "released from the day": (
        ServedEntry(id="6yes", released="2020-01-01"),
        "[entries]\nreleased_from = 2020-01-01\n", True,
    ),
    "a range without an upper bound": (
        ServedEntry(id="6yes", atoms=700),
        '[[where]]\nattribute = "rcsb_entry_info.deposited_atom_count"\noperator = "range"\n'
        "value = { at_least = 700 }\n", True,
    ),
    "a negation": (
        ServedEntry(id="6yes", atoms=700),
        '[[where]]\nattribute = "rcsb_entry_info.deposited_atom_count"\noperator = "equals"\n'
        "value = 700\nnegation = true\n", False,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("entry", "text", "found"), FILTERS.values(), ids=FILTERS.keys())
def test_the_search_itself_filters(server, tmp_path, entry, text, found):
    """What the server leaves out is not among the decisions, so this is not the filter of the lists."""
    serve(server, [entry, ServedEntry(id="1aaa", proteins=KINASE)], {30: "1AAA_1\n"})
    search(recipe_file(tmp_path, text), tmp_path / "list.csv")
    assert ("6yes" in rows(tmp_path / "list.decisions.csv")) == found


HOLDINGS = "/rest/v1/holdings/removed/9OLD"


@pytest.mark.parametrize("path", [SEARCH, GRAPHQL, CLUSTERS.format(30), HOLDINGS])
@pytest.mark.parametrize(
    "fault", [Fault(status=429, headers={"Retry-After": "0"}), Fault(hang=0.8)], ids=["429", "hang"]
)
def test_busy_and_silent_servers_are_survived(server, tmp_path, path, fault):
    recipe: object = "apo_holo"
    if path == HOLDINGS:
        (tmp_path / "ids.txt").write_text("1AAA 9old\n")
        recipe = recipe_file(tmp_path, 'ids = "ids.txt"\n')
    server.fail(path, fault)
    result = search(recipe, tmp_path / "list.csv", "--timeout", 0.5 if fault.hang else 5)
    assert result.exit_code == 0, result.output
    assert "1aaa" in rows(tmp_path / "list.csv")
    assert server.requests[path] >= 2


def test_lists_in_one_folder_keep_their_clusters(server, tmp_path):
    search("apo_holo", tmp_path / "one.csv")
    serve(server, ENTRIES, {30: "1AAA_1\n"})
    search("apo_holo", tmp_path / "two.csv")
    assert (tmp_path / "one.clusters-by-entity-30.txt").read_text() == CLUSTERS_30
    assert (tmp_path / "two.clusters-by-entity-30.txt").read_text() == "1AAA_1\n"


def test_any_attribute_can_be_searched_for(server, tmp_path):
    recipe = recipe_file(
        tmp_path,
        "[choose]\nidentity = 0\n[[where]]\nany = [\n"
        '{ attribute = "rcsb_entry_info.deposited_atom_count", operator = "equals", value = 5 },\n'
        '{ attribute = "rcsb_accession_info.initial_release_date", operator = "greater", '
        "value = 2026-01-01 } ]\n",
    )
    assert search(recipe, tmp_path / "list.csv").exit_code == 0
    assert list(rows(tmp_path / "list.csv")) == ["3ccc"]
    assert not [path for path in server.requests if "clusters" in path]


def test_lists_of_ids_are_judged_one_by_one(server, tmp_path):
    (tmp_path / "ids.txt").write_text(
        "1AAA 4low, 4nmr\n4dna 4big 4pep 9old 9gon 9not P00533 what\n"
    )
    recipe = recipe_file(tmp_path, 'ids = "ids.txt"\n[choose]\nper_cluster = 1\n')
    result = search(recipe, tmp_path / "list.csv")
    assert result.exit_code == 0, result.output
    assert list(rows(tmp_path / "list.csv")) == ["1aaa", "2bbb"]
    found = rows(tmp_path / "list.decisions.csv")
    reasons = {name: row["reason"] for name, row in found.items() if row["decision"] == "excluded"}
    assert reasons == {
        "4low": "resolution 3.4 Å is not within 0 to 3 Å",
        "4nmr": "method is SOLUTION NMR, not X-RAY DIFFRACTION",
        "4dna": "polymers are Protein/NA, not Protein (only) or Protein/Oligosaccharide",
        "4big": "90000 atoms, more than 30000",
        "4pep": "the longest protein has 12 residues, fewer than 40",
        "9old": "obsolete: replaced by 9mid, looked at in its place",
        "9mid": "obsolete: replaced by 2bbb, looked at in its place",
        "9gon": "obsolete, and nothing replaced it",
        "9not": "not in the archive",
        "AF-P00533-F1": "a predicted model has no B-factors",
        "what": "neither a file nor an identifier",
    }
    assert SEARCH not in server.requests


def test_a_list_is_fetched(server, tmp_path, peptide):
    for entry in ENTRIES:
        server.add_pdb(entry.id, bcif_gz=zipped(entry_bcif(peptide, entry.id)))
    search("apo_holo", tmp_path / "list.csv")
    words = ["data", "fetch", tmp_path / "list.csv", "-o", tmp_path / "mirror"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    index = rows(tmp_path / "mirror" / "index.csv")
    assert list(index) == list(rows(tmp_path / "list.csv"))
    assert index["1aad"]["state"] == "holo"


@pytest.mark.parametrize("path", [SEARCH, GRAPHQL, CLUSTERS.format(30)])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503),
        Fault(reset=True),
        Fault(cut_to=30),
        Fault(body=b"<p>busy"),
        Fault(body=b""),
    ],
    ids=["503", "reset", "cut", "html", "empty"],
)
def test_faults_are_survived(server, tmp_path, path, fault):
    server.fail(path, fault, fault)
    result = search("apo_holo", tmp_path / "list.csv")
    assert result.exit_code == 0, result.output
    assert len(rows(tmp_path / "list.csv")) == 8
    assert server.requests[path] == 3
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("path", "fault", "message"),
    [
        (SEARCH, Fault(status=500), "HTTP 500, in the last of 2 attempts"),
        (SEARCH, Fault(body=b'{"total_count": 3, "result_set": ["1AAA_1"]}'), "lists 1"),
        (SEARCH, Fault(body=b'{"hits": []}'), "answered"),
        (SEARCH, Fault(body=b'{"total_count": 1, "result_set": ["../../1AAA_1"]}'), "answered"),
        (GRAPHQL, Fault(body=b'{"errors": [{"message": "no such field"}]}'), "no such field"),
        (CLUSTERS.format(30), Fault(body=CLUSTERS_30[:-1].encode()), "middle of a line"),
        (CLUSTERS.format(30), Fault(body=b"1AAA_1\n2BBB_1 1AAB_1\n"), "line 2 has 2 entities"),
        (
            CLUSTERS.format(30),
            Fault(body=b"1AAA_1 1AAB_1\n\xff\xfe_1\n"),
            "line 2 is not a cluster",
        ),
        (CLUSTERS.format(30), Fault(body=b"1AAA_1 1AAB_1\n\n2BBB_1\n"), "line 2 is not a cluster"),
        (CLUSTERS.format(30), Fault(body=b"<html>sorry</html>"), "not a file of clusters"),
    ],
)
def test_what_a_server_does_wrong_is_said(server, tmp_path, path, fault, message):
    server.fail(path, fault, fault)
    result = search("apo_holo", tmp_path / "list.csv", "--attempts", 2)
    assert isinstance(result.exception, DebyeError)
    assert message in str(result.exception)
    assert not (tmp_path / "list.csv").exists()


def test_a_wrong_query_gets_the_words_of_the_server(server, tmp_path):
    recipe = recipe_file(tmp_path, '[[where]]\nattribute = "exptl.metod"\nvalue = "X"\n')
    result = search(recipe, tmp_path / "list.csv")
    assert "unknown attribute exptl.metod" in str(result.exception)
    assert server.requests[SEARCH] == 1, "another attempt is useless"


def test_nothing_found_is_said(server, tmp_path):
    recipe = recipe_file(tmp_path, "[entries]\nworst_resolution = 0.5\n")
    result = search(recipe, tmp_path / "list.csv")
    assert result.exit_code == 1
    assert "no entry fits the recipe" in result.output
    assert rows(tmp_path / "list.csv") == {}


def test_unknown_recipes_are_refused(tmp_path):
    result = search("apo_hollo", tmp_path / "list.csv")
    assert "Did you mean 'apo_holo'" in str(result.exception)


def test_from_the_search_to_the_store(server, benchmark_data, tmp_path):
    """The three commands of the docs, on real entries and what the index says of them."""
    with open(benchmark_data / "index.csv", newline="") as file:
        known = [row for row in csv.DictReader(file) if row["split"] == "val"][:6]
    entries = [
        ServedEntry(
            id=row["id"], resolution=float(row["resolution"]), atoms=int(row["n_atoms"]),
            ligands={name: 20 for name in row["ligands"].split(";") if name},
            proteins=(Protein(length=int(row["n_residues"])),),
        )
        for row in known
    ]  # fmt: skip
    clusters = "".join(f"{entry.id.upper()}_1\n" for entry in entries)
    serve(server, entries, {30: clusters})
    for entry in entries:
        path = benchmark_data / "structures" / entry.id[1:3] / f"{entry.id}.bcif.gz"
        server.add_pdb(entry.id, bcif_gz=path.read_bytes())
    for command in (
        f"search apo_holo -o {tmp_path}/list.csv",
        f"fetch {tmp_path}/list.csv -o {tmp_path}/mirror",
        f"build --index {tmp_path}/mirror/index.csv --structures {tmp_path}/mirror -o {tmp_path}/s",
    ):
        result = CliRunner().invoke(app, ["data", *command.split()])
        assert result.exit_code == 0, result.output
    manifest = json.loads((tmp_path / "s" / "manifest.json").read_text())
    assert manifest["splits"]["train"]["entries"] == 6


def test_folders_are_searched_without_a_server(benchmark_data, tmp_path):
    """Real files, judged by their atoms, agree with the index of the benchmark."""
    with open(benchmark_data / "index.csv", newline="") as file:
        index = {row["id"]: row for row in csv.DictReader(file)}
    files = sorted((benchmark_data / "structures").glob("*/*.bcif.gz"))[7::110]
    folder = tmp_path / "structures"
    folder.mkdir()
    for path in files:
        (folder / path.name).symlink_to(path)
    (folder / "broken.cif").write_text("data_x\n")
    recipe = recipe_file(
        tmp_path, 'structures = "structures"\n[entries]\npolymers = []\n[choose]\nidentity = 0\n'
    )
    result = search(recipe, tmp_path / "list.csv")
    assert result.exit_code == 0, result.output
    found = rows(tmp_path / "list.decisions.csv")
    assert found["broken"]["reason"].startswith("cannot be read")
    names = {path.name.split(".")[0] for path in files}
    assert names == found.keys() - {"broken"}
    for name in names & rows(tmp_path / "list.csv").keys():
        assert found[name]["state"] == ("holo" if index[name]["holo"] == "1" else "apo"), name
        assert float(found[name]["resolution"]) == pytest.approx(float(index[name]["resolution"]))
