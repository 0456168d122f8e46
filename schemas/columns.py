"""The columns of ``metadata.csv``: names, what they mean, the words people write instead.

Korean and English header aliases are matched after folding (see ``fold_header``): letter case,
spaces, underscores, hyphens and anything in brackets make no difference.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from schemas.machines import MACHINE_TYPES

TRUE_WORDS = ("true", "yes", "y", "1", "o", "ok", "예", "네", "확인", "정상확인", "참", "○", "v", "✓")
FALSE_WORDS = ("false", "no", "n", "0", "x", "아니오", "아니요", "미확인", "거짓", "×")


@dataclass(frozen=True)
class Column:
    """One column of the contract.

    ``values`` maps each allowed value to the other words people write for it; empty means free text.
    ``kind`` says how cells are read: text, choice, time, flag, number, integer or json.
    """

    name: str
    meaning: str
    kind: str = "text"
    required: bool = False
    aliases: tuple[str, ...] = ()
    values: tuple[tuple[str, tuple[str, ...]], ...] = ()
    default: str | None = None


COLUMNS = (
    Column("relative_path", "path of the recording inside the zip", required=True,
           aliases=("path", "file", "file_name", "filename", "file_path", "filepath", "wav", "파일", "파일명",
                    "파일 이름", "파일경로", "경로", "상대경로", "녹음파일")),
    Column("machine_type", "kind of machine", kind="choice", required=True,
           aliases=("machine", "type", "기계", "기계종류", "기계유형", "설비종류", "설비유형", "소리유형", "장비유형"),
           values=tuple((machine.name, machine.aliases) for machine in MACHINE_TYPES)),
    Column("section_id", "which physical machine it is", required=True,
           aliases=("section", "asset_id", "asset", "machine_id", "설비", "설비번호", "설비id", "호기", "기계번호",
                    "개체id", "개체번호", "장비번호", "섹션", "섹션id")),
    Column("recorded_at", "when it was recorded; approximate is fine", kind="time", required=True,
           aliases=("time", "date", "datetime", "recorded", "timestamp", "녹음시각", "녹음시간", "녹음일시", "녹음일",
                    "일시", "날짜", "시각", "측정일시")),
    Column("operator_confirmed", "a person vouches that this is normal (needed for train)", kind="flag",
           aliases=("confirmed", "작업자확인", "운전자확인", "정상확인", "확인", "담당자확인")),
    Column("clip_id", "unique name; taken from the path when empty", aliases=("id", "클립id", "클립", "녹음id")),
    Column("split", "what the recording is for", kind="choice", aliases=("용도", "구분", "분할", "데이터구분"),
           values=(("train", ("training", "학습", "훈련")), ("test", ("eval", "평가", "시험", "테스트")),
                   ("validation", ("valid", "val", "검증")),
                   ("supplemental", ("supplement", "supp", "보조", "추가")))
           , default="train"),
    Column("domain", "conditions known from before, or new ones", kind="choice",
           aliases=("도메인", "환경구분"),
           values=(("source", ("src", "소스", "기존")), ("target", ("tgt", "타깃", "타겟", "신규"))),
           default="target"),
    Column("label", "what the machine did", kind="choice",
           aliases=("라벨", "레이블", "상태", "정상여부", "판정"),
           values=(("normal", ("ok", "good", "정상", "양호")),
                   ("anomaly", ("anomalous", "abnormal", "ng", "fault", "bad", "이상", "비정상", "고장", "불량")),
                   ("unknown", ("미상", "모름", "알수없음", "불명")))),
    Column("mic_position_id", "microphone place", aliases=("mic", "mic_position", "microphone", "마이크",
                                                           "마이크위치", "마이크위치id", "마이크번호")),
    Column("noise_id", "kind of background noise", aliases=("noise", "소음", "소음종류", "소음id", "노이즈")),
    Column("speed_level", "running speed", aliases=("speed", "rpm", "속도", "속도구간", "속도단계", "회전수")),
    Column("load_level", "load", aliases=("load", "부하", "부하구간", "부하단계")),
    Column("operating_condition", "any other conditions, as JSON", kind="json",
           aliases=("condition", "conditions", "운전조건", "조건", "운전상태")),
    Column("snr_db", "signal-to-noise ratio in dB", kind="number", aliases=("snr", "신호대잡음비")),
    Column("supp_type", "what a supplemental recording holds", kind="choice",
           aliases=("supplemental_type", "보조유형", "보조종류"),
           values=(("noise", ("noise-only", "noise_only", "노이즈", "소음", "배경음")),
                   ("machine", ("clean", "clean_machine", "기계", "기계음")))),
    Column("anomaly_type", "what was wrong, for evaluation", aliases=("fault_type", "이상유형", "고장유형", "불량유형")),
    Column("anomaly_regions", "[[start, end], ...] in seconds, as JSON", kind="json",
           aliases=("regions", "이상구간", "고장구간")),
    Column("modality", "for signals: what was measured", kind="choice", aliases=("모달리티", "신호종류"),
           values=(("sound", ("audio", "acoustic", "소리", "음향", "오디오")), ("current", ("전류",)), ("flux", ("자속",)), ("vibration", ("진동",)))),
    Column("sample_rate_hz", "for signals: samples a second", kind="number",
           aliases=("sample_rate", "fs", "샘플레이트", "샘플링주파수", "샘플링레이트")),
    Column("channels", "for signals: what each channel is", aliases=("channel", "채널", "채널구성")),
)  # fmt: skip

COLUMN_NAMES = tuple(column.name for column in COLUMNS)
REQUIRED_COLUMNS = tuple(column.name for column in COLUMNS if column.required)
CONDITION_COLUMNS = ("mic_position_id", "noise_id", "speed_level", "load_level")

_IGNORED = re.compile(r"[\s_\-./]+|\([^()]*\)|\[[^\[\]]*\]|（[^（）]*）|\*")


def fold_header(header: str) -> str:
    """A header as it is compared: composed (NFC), lower case, no spaces, dashes, brackets or stars."""
    return _IGNORED.sub("", unicodedata.normalize("NFC", header).strip().lower())
