"""Files of a model's folder changed as an older version, or somebody who knows the hashes, would have."""

import json

from playloop.nn.manifest import MANIFEST, write_manifest


def change_record(folder, change, name="config.json"):
    """Change a JSON file of a folder, and write its manifest again."""
    record = json.loads((folder / name).read_text())
    change(record)
    (folder / name).write_text(json.dumps(record))
    write_manifest(folder)


def unbind(folder):
    """Make of a folder, and of those in it, what was written before there were manifests and golden files."""
    for name in (MANIFEST, "golden.npz"):
        for path in folder.rglob(name):
            path.unlink()
    for path in folder.rglob("config.json"):
        record = json.loads(path.read_text())
        record.pop("manifest", None)
        path.write_text(json.dumps(record))
