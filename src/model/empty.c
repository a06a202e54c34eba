/* Operations on whole model files: the floor between rules and runs. */
#include "model/series.h"
