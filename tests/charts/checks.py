"""What tests/charts-test computes about values and rendered manifests. Each command prints what is wrong and then exits 1.

  checks.py coverage CHART VALUES…       every switch is on in one file and off in another, every list and map is filled in one
  checks.py manifests RENDERED…          no object twice, no variable or key twice
  checks.py monitors VALUES RENDERED     the labels that the values ask for are on the monitor
  checks.py same RENDERED RENDERED       the same objects
  checks.py schemas FOLDER DEFINITION…   JSON schemas of custom resources, for kubeconform
  checks.py kubernetes SCHEMAS FOLDER    JSON schemas of Kubernetes' own kinds, each in one piece, for kubeconform
  checks.py findings WAIVERS KUBE-SCORE-FOLDER CHECKOV-FILE   what the policy tools found, less what is waived
"""

import json
import pathlib
import re
import sys

import yaml


class Strict(yaml.SafeLoader):
    """Refuses a key that is there twice, which YAML forbids and most parsers accept."""


def mapping(loader, node):
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        raise yaml.constructor.ConstructorError(None, None, f"keys that are there twice: {twice}", node.start_mark)
    return loader.construct_mapping(node, deep=True)


Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)


def documents(path):
    return [document for document in yaml.load_all(pathlib.Path(path).read_text(), Strict) if document]


def identity(manifest):
    metadata = manifest["metadata"]
    return f"{manifest['kind']}/{metadata.get('namespace', '')}/{metadata['name']}"


# Kubernetes' own objects with a default of the chart's, not switches of the chart.
PASSED_ON = {"podSecurityContext", "securityContext"}


def leaves(value, path=()):
    """Switches, and lists and maps that are empty unless somebody fills them."""
    if PASSED_ON & set(path):
        return
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, (bool, list, dict)):
        yield path, value


def at(values, path):
    for key in path:
        if not isinstance(values, dict) or key not in values:
            return None
        values = values[key]
    return values


def coverage(chart, *files):
    defaults = documents(f"{chart}/values.yaml")[0]
    given = [(documents(file) or [{}])[0] for file in files]
    for path, default in leaves(defaults):
        name = ".".join(path)
        found = [value for value in (at(values, path) for values in given) if value is not None]
        if isinstance(default, bool):
            for wanted in (True, False):
                if wanted is not default and wanted not in found:
                    yield f"{name}: no values file sets it to {str(wanted).lower()}"
        elif not any(found):
            yield f"{name}: no values file fills it"


def containers(manifest):
    spec = manifest.get("spec") or {}
    if manifest["kind"] != "Pod":
        spec = (spec.get("template") or {}).get("spec") or {}
    return [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]


def manifests(*files):
    for file in files:
        seen = set()
        for manifest in documents(file):
            name = identity(manifest)
            if name in seen:
                yield f"{file}: {name} is there twice"
            seen.add(name)
            for kind in ("labels", "annotations"):
                for key, value in (manifest["metadata"].get(kind) or {}).items():
                    if not isinstance(value, str) or not isinstance(key, str):
                        yield f"{file}: {name}: {kind}: {key!r}: {value!r} is not a string"
            for container in containers(manifest):
                for field, key in (("env", "name"), ("ports", "name"), ("volumeMounts", "mountPath")):
                    names = [item.get(key) for item in container.get(field) or []]
                    for twice in {item for item in names if item is not None and names.count(item) > 1}:
                        yield f"{file}: {name}: {field}: {twice} is there twice"


# Where each chart takes the labels of its monitors.
MONITORS = {
    ("metrics", "serviceMonitor"): "ServiceMonitor",
    ("metrics", "podMonitor"): "PodMonitor",
    ("monitor",): "ServiceMonitor",
}


def monitors(values, rendered):
    """Agents choose monitors by label: one that does not arrive means that nothing is scraped, without an error anywhere."""
    values = (documents(values) or [{}])[0]
    for path, kind in MONITORS.items():
        asked = at(values, path)
        if not isinstance(asked, dict) or asked.get("enabled") is False or (path[0] == "metrics" and not asked.get("enabled")):
            continue
        # With the operator, the drop-in chart leaves it to the operator to make the monitor.
        kinds = {kind, "PrometheusMirror"} if path == ("monitor",) else {kind}
        found = [manifest for manifest in documents(rendered) if manifest["kind"] in kinds]
        if len(found) != 1:
            yield f"{rendered}: {len(found)} objects of the kinds {sorted(kinds)} where one was asked for"
        for manifest in found:
            at_path = ("spec", "monitor", "labels") if manifest["kind"] == "PrometheusMirror" else ("metadata", "labels")
            labels = at(manifest, at_path) or {}
            for key, value in (asked.get("labels") or {}).items():
                # What Kubernetes recommends is the chart's own, whoever asks.
                own = key.startswith("app.kubernetes.io/") and manifest["kind"] == kind
                if not own and labels.get(key) != value:
                    yield f"{rendered}: {identity(manifest)} has not the label {key}: {value}"


def same(one, other):
    if documents(one) != documents(other):
        yield f"{one} and {other} hold different objects"


def closed(schema):
    """As the API server's pruning has it: what a schema does not name is a mistake."""
    if isinstance(schema, dict):
        schema = {key: closed(value) for key, value in schema.items()}
        if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
        return schema
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    return schema


def schemas(folder, *files):
    for definition in (document for file in files for document in documents(file)):
        spec = definition["spec"]
        for version in spec["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            schema["properties"]["metadata"] = {"type": "object"}
            schema["properties"].setdefault("apiVersion", {"type": "string"})
            schema["properties"].setdefault("kind", {"type": "string"})
            name = f"{spec['names']['kind'].lower()}-{spec['group'].split('.')[0]}-{version['name']}.json"
            pathlib.Path(folder, name).write_text(json.dumps(closed(schema)))
    return []


def kubernetes(source, folder):
    """The package's schemas share one file of definitions, at an address on the internet."""
    source = pathlib.Path(source)
    text = (source / "_definitions.json").read_text()
    definitions = json.loads(text)["$defs"]
    reference = re.compile(r'"\$ref": *"[^"#]*#/\$defs/([^"]*)"')
    needs = {name: set(reference.findall(json.dumps(schema))) for name, schema in definitions.items()}
    for file in source.glob("*.json"):
        # Objects have metadata; the rest are parts of them.
        schema = json.loads(file.read_text())
        if "metadata" not in schema.get("properties", {}):
            continue
        wanted, found = set(reference.findall(json.dumps(schema))), set()
        while wanted:
            found |= wanted
            wanted = set().union(*(needs[name] for name in wanted)) - found
        schema = {key: value for key, value in schema.items() if key not in ("$id", "$schema")}
        schema["$defs"] = {name: definitions[name] for name in sorted(found)}
        whole = reference.sub(lambda match: f'"$ref": "#/$defs/{match[1]}"', json.dumps(schema))
        pathlib.Path(folder, file.name).write_text(whole)
    return []


def kube_score(folder):
    for file in sorted(pathlib.Path(folder).glob("*.json")):
        for entry in json.loads(file.read_text()):
            name = f"{entry['type_meta']['kind']}/{entry['object_meta']['name']}"
            for check in entry["checks"]:
                if check["skipped"] or check["grade"] == 10:
                    continue
                for comment in check["comments"] or [{"summary": check["check"]["name"]}]:
                    yield "kube-score", check["check"]["id"], name, comment["summary"], file.stem


def checkov(file):
    report = json.loads(pathlib.Path(file).read_text())
    for part in report if isinstance(report, list) else [report]:
        if part["summary"]["parsing_errors"] or not part["summary"]["passed"]:
            raise SystemExit(f"checkov could not read everything: {part['summary']}")
        for finding in part["results"]["failed_checks"]:
            kind, *_, name = finding["resource"].split(".")
            yield "checkov", finding["check_id"], f"{kind}/{name}", finding["check_name"], pathlib.Path(finding["file_path"]).stem


def waives(waiver, finding):
    tool, check, name, message, values = finding
    return (
        waiver["tool"] == tool
        and re.fullmatch(waiver["check"], check)
        and re.fullmatch(waiver.get("object", ".*"), name)
        and re.search(waiver.get("message", ""), message)
        and re.search(waiver.get("values", ""), values)
    )


def findings(waivers, kube_score_folder, checkov_file):
    waivers = documents(waivers)[0]
    unused = list(waivers)
    found = [*kube_score(kube_score_folder), *checkov(checkov_file)]
    for waiver in waivers:
        if not waiver.get("reason"):
            yield f"a waiver without a reason: {waiver}"
    for finding in found:
        by = [waiver for waiver in waivers if waives(waiver, finding)]
        unused = [waiver for waiver in unused if waiver not in by]
        if not by:
            yield ": ".join(finding)
    for waiver in unused:
        yield f"a waiver that nothing needs: {waiver['tool']} {waiver['check']} {waiver.get('object', '')}"
    print(f"{len(found)} findings, {len(waivers)} waivers", file=sys.stderr)


if __name__ == "__main__":
    commands = {command.__name__: command for command in (coverage, manifests, monitors, same, schemas, kubernetes, findings)}
    faults = sorted(set(commands[sys.argv[1]](*sys.argv[2:])))
    print("\n".join(faults), end="\n" if faults else "")
    sys.exit(1 if faults else 0)
