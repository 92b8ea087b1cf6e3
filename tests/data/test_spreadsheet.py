"""Tables in the encodings that spreadsheets write."""

import unicodedata

import pytest

from tests.data.making import fill
from tests.data.test_tables import listed
from twofold.data import spreadsheet
from twofold.data.opening import open_data

ROWS = "Datei;label\nGröße 1.jpg;Gänseblümchen\nGröße 2.jpg;„Löwenzahn“ – 5 €\n"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])  # which has no form but NFC
def test_names_and_labels_are_read_in_each_encoding_and_found_however_accents_are_written(encoding, form, tmp_path):
    names = [unicodedata.normalize(form, f"Größe {number}.jpg") for number in (1, 2)]
    fill(tmp_path, names)
    (tmp_path / "t.csv").write_bytes(ROWS.encode(encoding))
    data = open_data(tmp_path / "t.csv")
    assert listed(data.train) == [(names[0], "Gänseblümchen"), (names[1], "„Löwenzahn“ – 5 €")]
    said = " (read as Windows-1252 where it is not UTF-8)" if encoding == "cp1252" else ""
    assert data.notes == (f"{tmp_path}/t.csv{said} has files in column Datei, labels in column label",)


def test_names_with_accents_of_two_characters_find_files_with_accents_of_one(tmp_path):
    fill(tmp_path, ["Größe 1.jpg", "Größe 2.jpg"])
    (tmp_path / "t.csv").write_text(unicodedata.normalize("NFD", ROWS))
    assert [name for name, _ in listed(open_data(tmp_path / "t.csv").train)] == ["Größe 1.jpg", "Größe 2.jpg"]


def test_bytes_that_are_no_text_are_kept_where_files_have_such_names(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"path,label\ncaf\xe9.jpg,a\n")
    there = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    assert spreadsheet.read(path, "t.csv", [there]) == ([["path", "label"], [there, "a"]], "")
    for others in (["café.jpg"], ["café.jpg", b"\xfc.jpg".decode("utf-8", "surrogateescape")]):
        rows, said = spreadsheet.read(path, "t.csv", others)
        assert rows[1] == ["café.jpg", "a"]
        assert said


def test_a_stray_byte_spoils_only_its_own_line(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("path,label\nä.jpg,a\n".encode() + b"\xfc.jpg,b\n")
    assert spreadsheet.read(path, "t.csv", [])[0][1:] == [["ä.jpg", "a"], ["ü.jpg", "b"]]


def test_a_label_whose_accents_are_written_in_two_ways_is_one_class(tmp_path):
    fill(tmp_path, ["1.jpg", "2.jpg"])
    rows = [f"{number}.jpg,{unicodedata.normalize(form, 'Käfer')}" for number, form in ((1, "NFC"), (2, "NFD"))]
    (tmp_path / "t.csv").write_text("\n".join(["image,label", *rows]), encoding="utf-8")
    source = open_data(tmp_path / "t.csv").train
    assert (list(source.labels), source.classes) == ([0, 0], ["Käfer"])


def test_two_files_whose_names_differ_only_in_how_accents_are_written(tmp_path):
    names = [unicodedata.normalize(form, "ä.jpg") for form in ("NFC", "NFD")]
    fill(tmp_path, names)
    (tmp_path / "t.csv").write_text(f"path,label\n{names[1]},b\n{names[0]},a\n")
    assert listed(open_data(tmp_path / "t.csv").train) == [(names[1], "b"), (names[0], "a")]
