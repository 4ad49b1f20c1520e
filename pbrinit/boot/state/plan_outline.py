"""What PID 1 looks at of the plan in force, without the rest of it.

In: the plan that the machine started with.  Out: the programs, with their rooms, and whether
refused packets are logged, by the plan that is in force now.
"""

from __future__ import annotations

from pbrinit.boot.state import active_plan
from pbrinit.boot.system import atomic_file
from pbrinit.wire import bootplan
from pbrinit.wire.bootplan import Outline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pbrinit.wire.bootplan import BootPlan


def read(image: BootPlan) -> Outline:
    """The outline of the plan in force; `image` is the plan that the machine started with.

    Raises OSError, BootFileError.
    """
    try:
        head = atomic_file.read(active_plan.IN_FORCE, bootplan.LONGEST_OUTLINE)
    except FileNotFoundError:
        return Outline(log=image.log, programs=image.programs)
    return bootplan.outline(head)
