"""``sarlens profiles``."""

from __future__ import annotations

from typing import Annotated

import typer

from sarlens.cli.app import app, usage_error


@app.command("profiles")
def profiles_command(
    name: Annotated[
        str | None, typer.Argument(help="Name of a profile, or of a model, to show with all fields.")
    ] = None,
) -> None:
    """List the profiles of models in force, as a Markdown table, or show one as TOML.

    SARLENS_PROFILES names the files of profiles.

    Example: sarlens profiles qwen2.5-vl
    """
    from sarlens.profiles.loading import load_profiles
    from sarlens.profiles.registry import DEFAULT_PROFILE
    from sarlens.profiles.table import to_toml
    from sarlens.settings import load_settings

    profiles = load_profiles(load_settings().profiles)
    if name is None:
        typer.echo("| profile | models | size | boxes | source |\n|---|---|---|---|---|")
        for profile in (*profiles.profiles, DEFAULT_PROFILE):
            models = "any other" if profile is DEFAULT_PROFILE else ", ".join(f"`{model}`" for model in profile.names)
            source = profiles.sources.get(profile.name, "built-in")
            typer.echo(f"| {profile.name} | {models} | {profile.size} | {profile.boxes.convention} | {source} |")
        return
    found = next((profile for profile in profiles.profiles if profile.name == name), None) or profiles.of(name)
    if found is DEFAULT_PROFILE and name != DEFAULT_PROFILE.name:
        usage_error(f"no profile matches {name}; `sarlens profiles` lists them")
    typer.echo(to_toml(found))
