// Loaded by a relative address: from here, unless somebody has moved the base.
"use strict";
document.documentElement.dataset.late = "own";
