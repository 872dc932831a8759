"""The options of sbatch, salloc and srun that there are, and what becomes of each here. Pure tables."""

from typing import Final

from longshore_slurm.options import Table

#: Options that have a meaning here.
_MEANT: Final = """
array|a= chdir|D= comment= cpus-per-task|c= cpus-per-gpu= dependency|d= error|e= exclusive? export= gpus|G= gpus-per-node=
gpus-per-task= gres= hold|H input|i= job-name|J= kill-on-invalid-dep= licenses|L= mem= mem-per-cpu= mem-per-gpu= mincpus=
nice? no-requeue nodes|N= ntasks|n= ntasks-per-node= open-mode= output|o= parsable partition|p= priority= quiet|Q requeue
signal= test-only time|t= tmp= wait|W wrap= account|A= qos|q= help|h usage version|V verbose|v workdir=
"""
#: Options that need nothing done here: what they ask for is so anyway, or concerns what only a cluster has.
_MOOT: Final = """
acctg-freq= clusters|M= comment= cpu-bind= cpu-freq= cpus-per-node= distribution|m= export-file= extra= get-user-env? gid=
gpu-bind= gpu-freq= hint= ignore-pbs mem-bind= mpi= no-kill|k? ntasks-per-core= overcommit|O oversubscribe|s profile=
propagate? spread-job threads-per-core= time-min= uid= use-min-nodes wait-all-nodes= wckey= exact overlap unbuffered|u
kill-on-bad-exit|K? label|l
"""
#: Options whose effect is missing here, which is said.
_MISSING: Final = """
batch= bb= bbf= cluster-constraint= constraint|C= container= container-id= contiguous core-spec|S= cores-per-socket= deadline=
delay-boot= exclude|x= extra-node-info|B= gpus-per-socket= gres-flags= mail-type= mail-user= mcs-label= network= nodefile|F=
nodelist|w= ntasks-per-gpu= ntasks-per-socket= power= prefer= reboot reservation= resv-ports? segment= sockets-per-node=
stepmgr switches= thread-spec= tres-bind= tres-per-task= pty immediate|I? relative|r= multi-prog jobid= het-group=
"""
#: Without their effect the job would be another one, so they are refused.
_REFUSED: Final = "begin|b="

SBATCH: Final = Table(_MEANT, _MOOT, _MISSING, _REFUSED)
MISSING: Final = frozenset(Table(_MISSING).takes)
REFUSED: Final = frozenset(Table(_REFUSED).takes)
#: Variables that give options, where they are not named by the option.
ODD: Final = {"time": "TIMELIMIT", "wait": "WAIT", "requeue": "REQUEUE"}
