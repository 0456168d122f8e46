"""Tables that people open in Excel hold no formulas, and come back exactly."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alp_assets.files import write_csv
from alp_assets.stages.marked import marked, unmarked

TEXTS = ["=1+1", "+1", "-1", "@x", "\t=1", "'=1", "''=1", "'", "''x", "=", "", "팬", "a=b"]


def test_no_text_begins_like_a_formula_and_numbers_stay_numbers():
    table = marked(pd.DataFrame({"text": TEXTS, "number": [-0.5] * len(TEXTS)}))
    assert not any(text.startswith(("=", "+", "-", "@", "\t")) for text in table["text"])
    assert table["text"].tolist()[-3:] == ["", "팬", "a=b"]
    assert table["number"].tolist() == [-0.5] * len(TEXTS)


@pytest.mark.parametrize("for_excel", [False, True])
def test_every_text_comes_back_from_a_file(tmp_path, for_excel):
    table = pd.DataFrame({"text": TEXTS, "number": [-0.5] * len(TEXTS)})
    write_csv(tmp_path / "a.csv", marked(table), for_excel=for_excel)
    found = pd.read_csv(tmp_path / "a.csv", dtype={"text": "str"}, keep_default_na=False, encoding="utf-8-sig")
    pd.testing.assert_frame_equal(unmarked(found), table.astype({"text": "str"}))


@given(st.lists(st.text(alphabet="'=+-@\ta", max_size=5), max_size=5))
def test_marks_take_nothing_away(texts):
    table = pd.DataFrame({"text": texts}, dtype="str")
    pd.testing.assert_frame_equal(unmarked(marked(table)), table)
