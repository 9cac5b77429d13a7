"""The base of all settings: frozen, typed, and closed to unknown names. No torch here."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Frozen settings; an unknown name is an error. Subclasses are plain lists of typed fields with defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)
