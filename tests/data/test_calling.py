"""Files by what a table calls them; what it may call them is tested with whole tables, in test_tables.py."""

from twofold.data.calling import Names


def test_the_work_grows_as_the_table_does_where_all_files_have_one_name():
    """As studies have theirs, ``patient7/view1.jpg``; texts are looked up, not compared with every file."""
    paths = [f"train/patient{number}/view1.jpg" for number in range(20_000)]
    names = Names(paths)
    assert [names.find(f"set/{path}") for path in paths] == [(n, "set", True, False) for n in range(20_000)]
    assert names.find("patient7/view1") == (7, "", True, True)
    assert names.find("view1.jpg") is None
