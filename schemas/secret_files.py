"""Settings read from files, one a variable: as Docker and Kubernetes hand secrets to a process."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

USUAL_FOLDER = Path("/run/secrets")
"""Where Docker mounts secrets; https://docs.docker.com/compose/how-tos/use-secrets/."""


class SecretFiles(BaseSettings):
    """Where the files lie. Each is called as its variable, such as `KAFKA_SASL_PASSWORD`; the environment wins."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    secrets_dir: Path = Field(
        USUAL_FOLDER,
        description="Folder of files that are called as variables and hold their values, for secrets: any of these.",
    )

    @model_validator(mode="after")
    def _there(self) -> Self:
        """A folder that somebody named must be there; the usual one need not."""
        if self.secrets_dir != USUAL_FOLDER and not self.secrets_dir.is_dir():
            raise ValueError(f"SECRETS_DIR={self.secrets_dir} is no folder")
        return self

    @property
    def found(self) -> Path | None:
        """The folder, if it is there."""
        return self.secrets_dir if self.secrets_dir.is_dir() else None

    def holds(self, variable: str) -> bool:
        """Whether there is a file for this variable, in any case of letters."""
        return self.found is not None and any(file.name.upper() == variable for file in self.found.iterdir())
