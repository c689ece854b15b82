"""``kubectl create KIND`` of several versions; from 1.32 on they send protobuf."""

import asyncio
from pathlib import Path

import pytest

from tests.e2e.kubectl import binaries
from tests.unit.api.server import running

GENERATORS = """
create configmap a --from-literal=a=b
create secret generic a --from-literal=a=b
create secret docker-registry b --docker-username=u --docker-password=p
create serviceaccount a
create token a
create token a --duration=1h --audience=b
create service clusterip a --tcp=80:8080
create service clusterip headless --clusterip=None
create service nodeport b --tcp=80
create service loadbalancer c --tcp=80
create service externalname d --external-name example.com
create job a --image=busybox -- true
create cronjob a --image=busybox --schedule=@daily -- true
create job b --from=cronjob/a
create quota a --hard=cpu=1,pods=2
create priorityclass a --value=1000
create poddisruptionbudget a --selector=app=x --min-available=50%
create role a --verb=get --resource=pods
create clusterrole a --verb=get,list --resource=pods,deployments.apps
create clusterrole b --verb=get --non-resource-url=/logs
create rolebinding a --role=a --user=u --serviceaccount=default:a
create clusterrolebinding a --clusterrole=a --group=g
create ingress a --rule=example.com/path=a:80
create deployment a --image=busybox --port=80
create namespace team
expose deployment a --port=80 --name=exposed
autoscale deployment a --max=3
autoscale deployment a --name=b --min=2 --max=3 --cpu-percent=50
set selector service a app=z
set serviceaccount deployment a a
set subject rolebinding a --user=v
describe cm/a secret/a sa/a svc/a job/a cj/a quota/a pc/a pdb/a role/a rolebinding/a ing/a
describe hpa/a hpa/b
get hpa,sts,ds,rc,pv,pvc,sc,netpol,ep,endpointslices,csr,ingressclasses
describe clusterrole/a clusterrolebinding/a
get all
"""


@pytest.mark.parametrize("binary", binaries.varied(), ids=lambda path: path.name)
async def test_every_generator_makes_what_it_says(binary: Path, tmp_path: Path):
    async with running() as api:
        kubectl = binaries.Kubectl(binary, api.url, tmp_path)
        for line in GENERATORS.strip().splitlines():
            answer = await asyncio.to_thread(kubectl.run, *line.split())
            assert answer.code == 0, f"{line}: {answer.err}"
