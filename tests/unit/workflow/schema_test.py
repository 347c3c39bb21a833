"""The published schema agrees with the loader: every valid fixture passes it, and every invalid one that is tagged with
`# schema: true` fails it, in each task, service, … that its comments name. What a schema cannot know (references,
cycles, shell syntax) is not tagged.

Usage: schema_test.py SOURCE_FOLDER. Exit code 77: jsonschema or PyYAML is not installed.
"""

import json
import pathlib
import re
import sys

try:
    import jsonschema
    import yaml
except ImportError as problem:
    print(f"skipped: {problem}")
    sys.exit(77)


class Loader(yaml.SafeLoader):
    """YAML 1.2: only true and false are truth values, and 1:30:00 is no number."""


Loader.yaml_implicit_resolvers = {}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile("^[-+]?(0|[1-9][0-9]*)$"), list("-+0123456789"))
Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"^[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)$"), list("-+.0123456789"))
Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("^(|~|null|Null|NULL)$"), ["", "~", "n", "N"])
Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile("^<<$"), ["<"])


def errors_of(validator, path):
    """Pairs of the path to where the error is and its message."""
    document = yaml.load(path.read_text(encoding="utf-8"), Loader)
    return [(list(error.absolute_path), error.message) for error in validator.iter_errors(document)]


def expected_places(path):
    """The section and name of each error that the comments of a fixture promise: ("tasks", "train")."""
    for line in path.read_text(encoding="utf-8").splitlines():
        match = re.match(r"# error: [0-9:]+ (tasks|services|environments|parameters)\.(.*?): ", line)
        if match:
            name = match[2].strip('"') if match[2].startswith('"') else re.split(r"[.\[]", match[2])[0]
            yield match[1], name or match[2]


def is_found(place, errors):
    section, name = place
    return any(where[:2] == [section, name] or (where == [section] and name in message) for where, message in errors)


def main(source):
    validator_class = jsonschema.Draft7Validator
    schema = json.loads((source / "docs/spec/workflow.schema.json").read_text(encoding="utf-8"))
    validator_class.check_schema(schema)
    validator = validator_class(schema)
    fixtures = source / "tests/unit/workflow"
    wrong = 0

    valid = sorted((fixtures / "valid").glob("*.yaml"))
    for path in valid:
        for where, message in errors_of(validator, path):
            print(f"{path.name}: {'.'.join(map(str, where))}: {message}")
            wrong += 1

    tagged = [
        path
        for path in sorted((fixtures / "invalid").glob("*.yaml"))
        if b"# schema: true\n" in path.read_bytes()
    ]
    for path in tagged:
        errors = errors_of(validator, path)
        missed = [".".join(place) for place in expected_places(path) if not is_found(place, errors)]
        if missed or not errors:
            print(f"{path.name}: the schema lets pass {', '.join(missed) or 'all'}")
            wrong += 1

    print(f"{len(valid)} valid and {len(tagged)} invalid fixtures, {wrong} differences")
    return 1 if wrong or len(valid) < 15 or len(tagged) < 15 else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
