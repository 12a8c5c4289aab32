#pragma once

/** loop_turn() - one turn of a daemon's loop: what is there to be done now is done. @loop: a struct loop; as scarce_turns() takes it. */
void loop_turn(void *loop);
