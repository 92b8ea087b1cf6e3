"""Files and sources that several of these tests use."""

import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.conftest import encoded, picture
from twofold.data.decode import Unreadable
from twofold.data.sources import Array, Source, Subset


def fill(root, names, size=16):
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(encoded(picture(size, size, number), "JPEG" if name.endswith("jpg") else "PNG"))


def tar(path, files):
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def parquet(path, count, names=("cat", "dog"), start=0):
    images = [{"bytes": encoded(picture(16, 16, start + i)), "path": None} for i in range(count)]
    features = {"image": {"_type": "Image"}, "label": {"names": list(names), "_type": "ClassLabel"}}
    table = pa.table({"image": images, "label": [i % 2 for i in range(count)]})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), path)


def photos(count, height=40, width=52):
    return Array(np.stack([np.moveaxis(picture(height, width, i), -1, 0) for i in range(count)]))


class Breaking(Subset):
    """Some images of it cannot be read."""

    def __init__(self, source, broken):
        super().__init__(source, range(len(source)))
        self.broken = broken

    def image(self, index):
        if index in self.broken:
            raise Unreadable("broken")
        return super().image(index)

    scaled = Source.scaled


class Counting(Subset):
    """Notes the number of each image that is opened."""

    def __init__(self, source):
        super().__init__(source, range(len(source)))
        self.opened = []

    def image(self, index):
        self.opened.append(index)
        return super().image(index)

    scaled = Source.scaled
