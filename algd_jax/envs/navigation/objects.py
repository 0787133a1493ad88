"""What stands in an arena, one record a kind: places and sizes."""

import dataclasses

__all__ = ["Buttons", "Gremlins", "Hazards", "Points", "Start"]

Points = tuple[tuple[float, float], ...]


@dataclasses.dataclass(frozen=True)
class Hazards:
    """Circles on the floor that cost while the robot's origin is inside.

    Attributes:
      centres: positions (x, y) [m].
      radius: [m].
      keepout: radius kept free when other things are placed [m].
    """

    centres: Points
    radius: float
    keepout: float = 0.0


@dataclasses.dataclass(frozen=True)
class Buttons:
    """Fixed spheres; one of them is the goal, touching another costs.

    Attributes:
      centres: positions (x, y) [m].
      radius: [m].
      keepout: radius kept free when other things are placed [m].
      delay: steps after a press in which buttons are invisible and wrong ones free of charge.
    """

    centres: Points
    radius: float = 0.1
    keepout: float = 0.2
    delay: int = 10


@dataclasses.dataclass(frozen=True)
class Gremlins:
    """Light boxes that circle in phase; touching one costs.

    Attributes:
      centres: centres (x, y) of their circles [m].
      yaws: constant orientation of each box [rad].
      travel: radius of the circle [m].
      half: half side of the box [m].
      keepout: radius kept free when other things are placed [m].
    """

    centres: Points
    yaws: tuple[float, ...]
    travel: float
    half: float = 0.1
    keepout: float = 0.35


@dataclasses.dataclass(frozen=True)
class Start:
    """The one state in which every episode of a task with a fixed layout starts.

    Attributes:
      position: robot origin (x, y) [m].
      heading: [rad].
      goal: index of the first goal button.
    """

    position: tuple[float, float]
    heading: float
    goal: int
