// The pages work without any of this; with it they stay fresh, go from one to the next without loading anew, and have keys.
import {go, look, settled} from './pages.js';
import {follow} from './live.js';
import {act, tell} from './act.js';
import {keys} from './keys.js';
import {logs} from './log.js';
import {times} from './times.js';
import {ticks} from './ticks.js';
import {why} from './why.js';

act({go, look});
keys({go});
why();
ticks();
times();
follow({look, tell});
settled(() => { logs(); times.now(); ticks.count(); });
