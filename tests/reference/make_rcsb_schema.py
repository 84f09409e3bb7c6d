"""Extract what RCSB's own client ships of the schemas of RCSB's interfaces.

    python tests/reference/make_rcsb_schema.py FOLDER

FOLDER is the unpacked source distribution of ``rcsb-api`` (MIT license, copyright 2024 RCSB PDB); its wheel has no schemas. Written are

- ``rcsb/search_attributes.json``: of every attribute of structures that can be searched, the type, the kinds of search,
  the values that are allowed, and whether it lies in a nested record;
- ``rcsb/data.graphql``: the types of the data API that debye's question visits, with all their scalar fields.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from graphql import build_client_schema, get_named_type, is_leaf_type, parse
from graphql.language import FieldNode, visit
from graphql.language.visitor import Visitor
from graphql.utilities import TypeInfo, TypeInfoVisitor

from debye.dataset.search.rcsb import ENTRIES

TARGET = Path(__file__).parent / "rcsb"


def search_attributes(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a row for each attribute that can be searched."""
    found: dict[str, Any] = {}

    def walk(node: dict[str, Any], path: str, nested: bool) -> None:
        if node.get("type") == "array":
            walk(node["items"], path, nested or bool(node.get("rcsb_nested_indexing")))
        elif "properties" in node:
            for name, child in node["properties"].items():
                walk(child, f"{path}.{name}" if path else name, nested)
        elif contexts := node.get("rcsb_search_context"):
            row: dict[str, Any] = {"type": node.get("type", "string"), "search": contexts}
            if "enum" in node and len(node["enum"]) <= 40:
                row["values"] = node["enum"]
            if node.get("format"):
                row["format"] = node["format"]
            if nested:
                row["nested"] = True
            found[path] = row

    walk(schema, "", False)
    return dict(sorted(found.items()))


def pruned_graphql(introspection: dict[str, Any], question: str) -> str:
    """Return the schema in GraphQL's own language, without what the question does not visit."""
    schema = build_client_schema(introspection)
    kept: dict[str, set[str]] = {}
    info = TypeInfo(schema)

    class Visited(Visitor):
        def enter_field(self, node: FieldNode, *_: Any) -> None:
            parent = info.get_parent_type()
            assert parent is not None, f"the schema has no {node.name.value}"
            kept.setdefault(parent.name, set()).add(node.name.value)

    visit(parse(question), TypeInfoVisitor(info, Visited()))
    lines = ["scalar Date", ""]
    for name in sorted(kept):
        kind = schema.type_map[name]
        lines.append(f"type {name} {{")
        for field_name, field in sorted(kind.fields.items()):
            if field_name in kept[name] or (
                name != "Query" and is_leaf_type(get_named_type(field.type))
            ):
                arguments = ", ".join(f"{key}: {value.type}" for key, value in field.args.items())
                lines.append(f"  {field_name}{f'({arguments})' if arguments else ''}: {field.type}")
        lines += ["}", ""]
    return "\n".join(lines)


def main(folder: Path) -> None:
    """Write both files."""
    resources = folder / "rcsbapi"
    attributes = json.loads((resources / "search/resources/structure_schema.json").read_text())
    rows = [
        f"{json.dumps(name)}: {json.dumps(row)}"
        for name, row in search_attributes(attributes).items()
    ]
    TARGET.mkdir(exist_ok=True)
    (TARGET / "search_attributes.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")
    data = json.loads((resources / "data/resources/data_api_schema.json").read_text())["data"]
    (TARGET / "data.graphql").write_text(pruned_graphql(data, ENTRIES))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
