"""Safety-Gym's navigation tasks: a robot in the plane among goals, hazards and movable things."""
