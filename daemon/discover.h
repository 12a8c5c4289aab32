#pragma once

struct daemon;

/**
 * discover_start() - survey the cloud in a worker and take the result in (see cloud_survey()). A failure is logged, kept in
 * d->trouble, and tried again with a doubling wait. Does nothing while one is under way.
 */
void discover_start(struct daemon *d);
