"""Files of profiles: inheritance, precedence, and errors that name the file and the field."""

from __future__ import annotations

from pathlib import Path

import pytest

from sarlens.profiles.loading import BUILT_IN, ProfileError, load_profiles
from sarlens.profiles.registry import DEFAULT_PROFILE, Profiles
from sarlens.profiles.table import to_toml


def write(folder: Path, text: str, name: str = "profiles.toml") -> Path:
    """Write a file of profiles."""
    path = folder / name
    path.write_text(text)
    return path


def test_the_package_has_profiles() -> None:
    """Every family has a profile, found by the name of the model or of what it derives from."""
    profiles = load_profiles(())
    for names, expected in (
        (("sarlens-nano",), "sarlens-nano"),
        (("radar", "Qwen/Qwen2.5-VL-7B-Instruct"), "qwen2.5-vl"),
        (("Qwen/Qwen3-VL-8B-Instruct",), "qwen3-vl"),
        (("OpenGVLab/InternVL3-8B",), "internvl"),
        (("SARChat-7B", "OpenGVLab/InternVL2_5-8B"), "sarchat"),
        (("qwen2.5-vl-sarlang-1m",), "sarlang"),
        (("llava-1.5-7b",), "default"),
    ):
        assert profiles.of(*names).name == expected, names
    assert set(profiles.sources.values()) == {BUILT_IN}


def test_a_profile_extends_another(tmp_path: Path) -> None:
    """Fields and tables are inherited, the names of models aren't; a file's profile replaces one of the package."""
    path = write(
        tmp_path,
        """
        [profiles.ships]
        extends = "fleet"
        boxes.numbers = "decimal"
        [profiles.fleet]
        extends = "sarchat"
        models = ["fleet-*"]
        size = 640
        [profiles.sarlens-nano]
        size = 128
        """,
    )
    profiles = load_profiles((path,))
    ships = profiles.of("ships")
    assert (ships.name, ships.size, ships.boxes.convention, ships.boxes.numbers) == ("ships", 640, "sarchat", "decimal")
    assert ships.prompts.instance_counting == "[count] {question}"
    assert (profiles.of("fleet-2").name, profiles.of("ships-2").name) == ("fleet", "default")
    nano = profiles.of("sarlens-nano")
    assert (nano.size, nano.boxes.numbers) == (128, "as_written")
    assert (profiles.sources["ships"], profiles.sources["qwen3-vl"]) == (str(path), BUILT_IN)


def test_exact_names_precede_patterns_and_files_the_package(tmp_path: Path) -> None:
    """``*`` of a file is the default of all models without an exact name."""
    path = write(tmp_path, '[profiles.any]\nmodels = ["*"]\n[profiles.one]\nmodels = ["Qwen/Qwen3-VL-8B"]\n')
    profiles = load_profiles((path,))
    names = [profiles.of(name).name for name in ("Qwen/Qwen3-VL-8B", "Qwen/Qwen3-VL-4B", "x", "sarlens-nano")]
    assert names == ["one", "any", "any", "sarlens-nano"]
    assert Profiles().of("x") is DEFAULT_PROFILE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[profiles.a]\nsze = 4", "profiles.a.sze isn't a field of profiles; did you mean size?"),
        ("[profiles.a.boxes]\nconvetion = 'xywh'", "profiles.a.boxes.convetion isn't a field of profiles; did you"),
        ("[profiles.a.render]\nwindw = [1]", "profiles.a.render.windw isn't a field of profiles; did you mean window?"),
        ("[profiles.a]\nzzz = 4", "profiles.a.zzz isn't a field of profiles; the fields are models, "),
        ("[profiles.a]\nsize = 4", "profiles.a.size: Input should be greater than or equal to 16"),
        ("[profiles.a.render]\nsize = 64", "profiles.a.render: size depends on the image, not on the model"),
        ("[profiles.a.render]\nstretch = [9, 1]", "profiles.a.render: stretch must be two rising percentiles"),
        ("[profiles.a.prompts]\nquestion = 'Answer.'", "profiles.a.prompts: question must contain {question} once"),
        ("[profiles.a]\nanswer_pattern = '('", "profiles.a.answer_pattern: isn't a regular expression"),
        ("[profiles.a]\nanswer_pattern = 'x'", "profiles.a.answer_pattern: must have one group"),
        ("[profiles.a]\nmodels = ['*']\nchat_template = 'x'", "chat_template requires models without patterns"),
        ("[profiles.a]\nextends = 'b'", "profiles.a.extends must be one of a, internvl, "),
        ("[profiles.a]\nextends = 'b'\n[profiles.b]\nextends = 'a'", " extends itself"),
        ("[profiles.'a b']\nsize = 64", "profiles.a b.name"),
        ("[profile.a]\nsize = 64", "profile isn't known; a profile is a table [profiles.NAME]"),
        ("profiles = 3", "profiles must be tables"),
        ("[profiles", "isn't TOML"),
    ],
)
def test_an_invalid_file_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    """The sentence has the file, the field and, for a typo, the nearest name."""
    path = write(tmp_path, text)
    with pytest.raises(ProfileError) as raised:
        load_profiles((path,))
    assert message in str(raised.value)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    """A missing, binary or large file, and a name in two files prevent the start."""
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff")
    large = write(tmp_path, "#" * 2**20 + "\n", "large.toml")
    one, two = (write(tmp_path, "[profiles.a]\nsize = 64", name) for name in ("1.toml", "2.toml"))
    for paths, message in (
        ((tmp_path / "missing.toml",), "can't be read"),
        ((binary,), "isn't TOML"),
        ((large,), "more than 1048576 bytes"),
        ((one, two), f"the profile a is also in {one}"),
    ):
        with pytest.raises(ProfileError, match=message):
            load_profiles(paths)


def test_a_shown_profile_is_a_file_of_profiles(tmp_path: Path) -> None:
    """The output of `sarlens profiles NAME` has no empty lists, and loads to the same profile."""
    for profile in load_profiles(()).profiles:
        assert "[]" not in to_toml(profile)
        path = write(tmp_path, to_toml(profile))
        loaded = load_profiles((path,)).of(profile.names[0])
        assert loaded.model_dump(exclude={"models"}) == profile.model_dump(exclude={"models"})
        assert loaded.names == profile.names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[profiles.a]\naliases = ["x"]\n[profiles.b]\naliases = ["x"]', "alias x of profiles.b is also one of"),
        ('[profiles.a]\naliases = ["b"]\n[profiles.b]\nsize = 64', "the alias b of profiles.a is the name of a model"),
        ('[profiles.a]\naliases = ["auto"]', "the alias auto of profiles.a is the name of a model"),
        ('[profiles.a]\nmodels = ["a*"]\naliases = ["x"]', "aliases requires models without patterns"),
        (
            "[[profiles.a.acquisitions]]\nmode = ['IW']",
            "profiles.a.acquisitions.mode isn't a field of profiles; did you",
        ),
    ],
)
def test_aliases_and_acquisitions_are_checked(tmp_path: Path, text: str, message: str) -> None:
    """An alias names one model and hides none."""
    with pytest.raises(ProfileError) as raised:
        load_profiles((write(tmp_path, text),))
    assert message in str(raised.value)


def test_names_and_acquisitions_are_not_inherited(tmp_path: Path) -> None:
    """Aliases, fallbacks and acquisitions belong to one model; `sarlens profiles` shows them as a file has them."""
    path = write(
        tmp_path,
        """
        [profiles.a]
        aliases = ["x"]
        fallbacks = ["c"]
        acquisitions = [{platforms = ["sentinel-1*"], max_spacing_m = 20}, {modes = ["EW"]}]
        [profiles.b]
        extends = "a"
        """,
    )
    profiles = load_profiles((path,))
    other = profiles.of("b")
    assert (other.aliases, other.fallbacks, other.acquisitions) == ((), (), ())
    assert profiles.aliases == {"x": "a"}
    shown = load_profiles((write(tmp_path, to_toml(profiles.of("a")), "shown.toml"),)).of("a")
    assert shown == profiles.of("a").model_copy(update={"models": ("a",)})
