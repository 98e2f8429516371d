"""Which texts are read, and how WikiText is taken apart."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from quickthaw.errors import InvalidRequest
from quickthaw_platform.validation import wikitext
from quickthaw_platform.validation.corpus import Corpus, read_corpus

DATA = Path(__file__).parents[3].parent / "shared" / "data"
RAW = " \n = A = \n \n One . \n\n = = Part = = \n \n Two \x85 . \n \n = B = \n \n Three \n"


def test_a_file_is_one_document_zipped_or_not(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Grüße\n")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress("Grüße\n".encode()))
    plain, zipped = read_corpus(tmp_path / "a.txt"), read_corpus(tmp_path / "a.txt.gz")
    assert plain.documents == zipped.documents == ("Grüße\n",)
    assert plain.described().digest == zipped.described().digest
    assert plain.described().bytes == 8


def test_rows_of_json_and_files_of_a_folder_are_documents_and_empty_ones_are_left_out(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"text": "a\u2028b"}, ensure_ascii=False) + '\n\n{"content": "c"}\n{"text": " "}\n')
    assert read_corpus(rows) == Corpus("rows.jsonl", "jsonl", ("a\u2028b", "c"))
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "b.md").write_text("two")
    (folder / "a.txt").write_text("one")
    (folder / "sub" / "c.txt").write_text("three")
    (folder / "d.png").write_bytes(b"\x89PNG")
    assert read_corpus(folder) == Corpus("folder", "directory", ("one", "two", "three"))
    assert read_corpus(folder).joined() == "one\n\ntwo\n\nthree"
    assert read_corpus(folder).pages()[1] == ("two", "two")


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_a_byte_order_mark_says_the_encoding(tmp_path: Path, mark: str) -> None:
    data = "Grüße".encode(mark)
    (tmp_path / "a.txt").write_bytes(b"\xfe\xff" + data if mark == "utf-16-be" else data)
    assert read_corpus(tmp_path / "a.txt").documents == ("Grüße",)


def test_a_text_in_another_encoding_is_refused_with_the_place_and_read_when_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Grüße".encode("latin-1"))
    with pytest.raises(InvalidRequest, match=r"a\.txt is not utf-8: byte 2 is 0xfc; say with --encoding") as caught:
        read_corpus(tmp_path / "a.txt")
    assert caught.value.param == "encoding"
    assert read_corpus(tmp_path / "a.txt", "latin-1").documents == ("Grüße",)
    with pytest.raises(InvalidRequest, match="no encoding called 'klingon'"):
        read_corpus(tmp_path / "a.txt", "klingon")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"", "holds no text"),
        ("a.txt", b" \n\t", "holds no text"),
        ("a.txt.gz", b"no gzip", "cannot be read"),
        ("a.jsonl", b'{"text": 1}', "line 1, has no text in a field 'text' or 'content' or 'page'"),
        ("a.jsonl", b'{"text": "a"}\n{', "line 2, is not JSON"),
        ("a.jsonl", b"[1]", "line 1, has no text"),
    ],
    ids=["empty", "blank", "broken gzip", "no text", "cut short", "no object"],
)
def test_what_holds_no_text_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidRequest, match=said):
        read_corpus(tmp_path / name)


def test_a_folder_without_texts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"has no file that ends with \.txt"):
        read_corpus(tmp_path)


def test_a_file_named_as_wikitexts_is_taken_apart_into_rows_and_pages(tmp_path: Path) -> None:
    (tmp_path / "wiki.test.raw").write_text(RAW)
    found = read_corpus(tmp_path / "wiki.test.raw")
    assert found.form == "wikitext"
    assert wikitext.rows(RAW)[:5] == ["", " = A = \n", "", " One . \n", ""]
    assert "".join(wikitext.rows(" a \x85 b \n")) == " a \x85 b \n"
    assert [page for page, _ in found.pages()] == [
        " = A = \n \n One . \n\n = = Part = = \n \n Two \x85 . \n ", " = B = \n \n Three \n",
    ]  # fmt: skip
    assert found.whole() == RAW.removesuffix("\n")


def test_pages_are_detokenised_and_counted_as_they_were() -> None:
    original, scored = Corpus("a", "wikitext-pages", ('He said " no @-@ one , ( really ) " 1 @,@ 000 \n',)).pages()[0]
    assert scored == 'He said "no-one, (really)" 1,000\n'
    assert original.startswith('He said " no @-@')


@pytest.mark.skipif(not (DATA / "wiki.test.raw.gz").exists(), reason="WikiText-2 is not in ../shared/data")
def test_pages_of_the_raw_file_are_those_that_lm_eval_reads() -> None:
    raw, pages = read_corpus(DATA / "wiki.test.raw.gz"), read_corpus(DATA / "wikitext2_test_pages62.jsonl.gz")
    assert raw.pages() == pages.pages()
    assert len(raw.pages()) == 62
    assert raw.described().digest == "173c87a53759e0201f33e0ccf978e510c2042d7f2cb78229d9a50d79b9e7dd08"
