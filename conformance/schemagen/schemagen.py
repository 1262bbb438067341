#!/usr/bin/env python3
"""Write the structural facts of Kubernetes' built-in types as a compact text.

usage, with the folders of the modules:
  schemagen.py k8s.io/kubernetes <version> k8s.io/api k8s.io/apimachinery k8s.io/apiextensions-apiserver k8s.io/kube-aggregator \
    > crates/kube-store/src/schema/kubernetes.txt

Input are the OpenAPI v3 documents of the first module, which unlike v2 carry the defaults of list map keys, and the tags of
the other modules' Go types, which carry the numbers of protobuf fields. Only facts are kept: names, types, required, list
and map types, patch strategies, defaults that are scalars, field numbers. The format, one type or field a line:

    T <type> [G=<group>/<version>/<Kind>,...] [M=atomic] =<shape>     shape: any raw intstr quantity time object
     <field> <type> [!] [s] [d=<default>] [l=atomic|set|map:<key>,...] [m=atomic|granular] [p=<strategy>,...] [k=<merge key>] [#=<number>[*]]

A number is a.b for field b of the message in field a whose fields JSON shows inline; * marks a Go pointer, of which an
empty value is not the same as none. A field's type is string, int32, int64, number, bool, bytes, time, any, @<type>, []<type> or {}<type>.
"""
import glob
import json
import pathlib
import re
import sys

STABLE = re.compile(r"^v\d+$")
SCALARS = {
    ("string", None): "string",
    ("string", "byte"): "bytes",
    ("string", "date-time"): "time",
    ("integer", "int32"): "int32",
    ("integer", "int64"): "int64",
    ("integer", None): "int64",
    ("number", "double"): "number",
    ("boolean", None): "bool",
}
NAMED = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "intstr",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "raw",
}


STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r'^\s+(?:\w+\s+)?(\*?)([\w.\[\]*]+)\s+`[^`\n]*?json:"([^"]*)"[^`\n]*?protobuf:"\w+,(\d+),', re.MULTILINE)


def package(module):
    """The prefix of a module's names in the OpenAPI documents."""
    name = pathlib.Path(module).name.split("@")[0]
    return "io.k8s." + name


def numbers(modules):
    """For each type its fields' numbers by JSON name: (path, whether it is a pointer)."""
    raw = {}
    for module in modules:
        for path in sorted(pathlib.Path(module).rglob("*.go")):
            if path.name.endswith("_test.go") or path.name.startswith("zz_"):
                continue
            folder = path.parent.relative_to(module).parts
            for name, body in STRUCT.findall(path.read_text(encoding="utf-8")):
                raw[".".join((package(module),) + folder + (name,))] = FIELD.findall(body)
    return {name: dict(flat(raw, name, "", 0)) for name in raw}


def flat(raw, name, prefix, depth):
    assert depth < 3, name
    for pointer, kind, tag, number in raw[name]:
        json_name = tag.split(",")[0]
        if json_name:
            yield json_name, (prefix + number, bool(pointer))
        elif "inline" in tag:
            inner = name.rsplit(".", 1)[0] + "." + kind
            if inner not in raw:
                continue  # TypeMeta and ListMeta, which are not inline on the wire
            yield from flat(raw, inner, f"{prefix}{number}.", depth + 1)


def load(module):
    types = {}
    for path in sorted(glob.glob(module + "/api/openapi-spec/v3/*.json")):
        with open(path, encoding="utf-8") as file:
            types.update(json.load(file).get("components", {}).get("schemas", {}))
    return types


def reference(schema):
    ref = schema.get("$ref") or schema.get("allOf", [{}])[0].get("$ref")
    return ref.rsplit("/", 1)[1] if ref else None


def shape(schema, used):
    name = reference(schema)
    if name:
        used.append(name)
        return "@" + name
    kind = schema.get("type")
    if kind == "array":
        return "[]" + inner(schema["items"], used)
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return "{}" + inner(schema["additionalProperties"], used)
    if kind in (None, "object"):
        assert "properties" not in schema, schema
        return "any"
    return SCALARS[kind, schema.get("format")]


def inner(schema, used):
    assert not any(key.startswith("x-kubernetes-") for key in schema), schema
    return shape(schema, used)


def attributes(schema, required):
    found = ["!"] if required else []
    default = schema.get("default")
    if default == {}:
        # The struct is no pointer in Go: it is always there, empty if nothing else.
        found.append("s")
    elif default is not None:
        found.append("d=" + json.dumps(default))
    kind = schema.get("x-kubernetes-list-type")
    # Without a list type the patch strategy would decide how lists merge; upstream now says it on every such list.
    assert kind or schema.get("type") != "array" or "x-kubernetes-patch-strategy" not in schema, schema
    if kind:
        keys = schema.get("x-kubernetes-list-map-keys")
        found.append("l=" + kind + (":" + ",".join(keys) if keys else ""))
    for key, letter in (("map-type", "m"), ("patch-strategy", "p"), ("patch-merge-key", "k")):
        value = schema.get("x-kubernetes-" + key)
        if value:
            found.append(letter + "=" + value)
    return found


def kinds(name, schema):
    # Types such as DeleteOptions are registered in every group; the one that they are written in is enough.
    listed = schema.get("x-kubernetes-group-version-kind", [])
    if len(listed) > 1:
        listed = [kind for kind in listed if kind["group"] == "" and kind["version"] == "v1"]
    return [f"{kind['group']}/{kind['version']}/{kind['kind']}" for kind in listed if STABLE.match(kind["version"])]


def lines(name, schema, used, wire):
    head = ["T", name]
    found = kinds(name, schema)
    if found:
        head.append("G=" + ",".join(sorted(found)))
    if schema.get("x-kubernetes-map-type"):
        head.append("M=" + schema["x-kubernetes-map-type"])
    properties = schema.get("properties")
    whole = NAMED.get(name) or ("object" if properties else shape(schema, used))
    yield " ".join(head + ["=" + whole])
    for field, member in sorted((properties or {}).items()):
        required = field in schema.get("required", [])
        number, pointer = wire.get(name, {}).get(field, ("", False))
        wired = [f"#={number}{'*' if pointer else ''}"] if number else []
        yield " ".join(["", field, shape(member, used)] + attributes(member, required) + wired)


def main():
    module, version, *others = sys.argv[1:]
    types = load(module)
    wire = numbers(others)
    todo = sorted(name for name, schema in types.items() if kinds(name, schema))
    written = {}
    while todo:
        name = todo.pop()
        if name not in written:
            used = []
            written[name] = list(lines(name, types[name], used, wire))
            todo.extend(used)
    print(f"# k8s.io/kubernetes {version}, by conformance/schemagen/schemagen.py")
    for name in sorted(written):
        print("\n".join(written[name]))


main()
