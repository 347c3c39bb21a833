// What the shared library shows of itself: everything else in it is hidden.
#pragma once

#define TRIREME_API __attribute__((visibility("default")))
